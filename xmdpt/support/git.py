"""What git says of the code that runs."""

import subprocess

UNKNOWN = "unknown"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no clone
        return ""
    return done.stdout.strip()


def commit_of(*paths: str) -> str:
    """The last commit (40 digits) that changed `paths` of the current folder; without any, HEAD.

    `-dirty` follows where tracked files of theirs differ from it, and it is "unknown" where there
    is no repository.
    """
    found = _git("log", "-1", "--format=%H", "--", *paths)
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *paths)
    return f"{found}-dirty" if found and changed else found or UNKNOWN

"""What git says of the code that runs."""

import subprocess
from pathlib import Path

UNKNOWN = "unknown"


def _git(folder: Path | None, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or no clone
        return ""
    return done.stdout.strip()


def commit_of(*paths: str, folder: Path | None = None) -> str:
    """The last commit (40 digits) that changed `paths` of a folder; without any, HEAD.

    `folder` is by default the current one, which need not be that of the code that runs.

    `-dirty` follows where tracked files of theirs differ from it, and it is "unknown" where there
    is no repository.
    """
    found = _git(folder, "log", "-1", "--format=%H", "--", *paths)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *paths)
    return f"{found}-dirty" if found and changed else found or UNKNOWN

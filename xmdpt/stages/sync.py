"""Runs of W&B that were logged offline, and sending them later."""

import os
import subprocess
import sys
from pathlib import Path

PART = "part"
"""A file in a run's folder: which part of the run it holds, from 1. The time in the folder's name
does not tell, where a clock was set back or machines differ in theirs."""
MARK = ".synced"
"""What wandb appends to the name of a run's file when all of it was sent."""


def _sent(folder: Path) -> bool:
    return any(folder.glob(f"*{MARK}"))


def _part(folder: Path) -> int:
    try:
        return int((folder / PART).read_text())
    except (OSError, ValueError):  # of an older version, or the process died before it was whole
        return 0


def _folders(run: str = "") -> list[Path]:
    """The folders of runs that were logged offline, or of the parts of one, in order."""
    place = Path(os.environ.get("WANDB_DIR") or ".") / "wandb"
    found = [folder for folder in place.glob("offline-run-*") if run in folder.name]
    return sorted(found, key=lambda folder: (_part(folder), folder.name))


def number_part(run: str) -> None:
    """Number the part of a run that has just begun, if it is logged offline."""
    folders = _folders(run)
    for folder in [folder for folder in folders if not _part(folder)]:
        number = 1 + max(map(_part, folders))
        (folder / PART).write_text(f"{number}\n")


def offline_runs() -> list[Path]:
    """The folders of runs that were logged offline and not yet sent, parts of a run in order."""
    return [
        folder for folder in _folders() if any(folder.glob("run-*.wandb")) and not _sent(folder)
    ]


def run_of(folder: Path) -> str:
    """The id of the run in a folder: from its file `run-<id>.wandb`.

    The folder's name ends in the id too, but gets a number where two begin in one second.
    """
    [log] = folder.glob("run-*.wandb")
    return log.stem.removeprefix("run-")


def send_runs(folders: list[Path]) -> dict[Path, bool]:
    """Send runs, parts of a resumed one in order; each folder with whether all of it arrived.

    What wandb says goes to stderr. `WANDB_MODE` does not count: to send is what was asked for.
    """
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, folders)]
    subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    return {folder: _sent(folder) for folder in folders}

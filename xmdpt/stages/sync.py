"""Runs of W&B that were logged offline, and sending them later."""

import os
import subprocess
import sys
from pathlib import Path

MARK = ".synced"
"""What wandb appends to the name of a run's file when all of it was sent."""


def _sent(folder: Path) -> bool:
    return any(folder.glob(f"*{MARK}"))


def offline_runs() -> list[Path]:
    """The folders of runs that were logged offline and not yet sent, oldest first."""
    place = Path(os.environ.get("WANDB_DIR") or ".") / "wandb"
    return [folder for folder in sorted(place.glob("offline-run-*")) if not _sent(folder)]


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

"""States of a training: two are kept, so that a damaged one has an older to fall back to."""

import os
import pickle
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from xmdpt.config import ConfigError
from xmdpt.support.files import atomic_path

STATE = "state.pt"
STATES = "state*.pt"
"""What matches both."""
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, pickle.UnpicklingError,
    EOFError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What the ZIP reader, pickle and torch make of damaged bytes."""
Loaded = TypeVar("Loaded")


class DamagedState(ConfigError):
    """A state cannot be gone on from; an older one may do."""


def _before(path: Path) -> Path:
    """Where the state lies that was saved before the one at `path`."""
    return path.with_stem(f"{path.stem}-before")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state, whole or not at all; the one that is there becomes the one before."""
    with atomic_path(path) as partial:
        torch.save(state, partial)
        if path.exists():
            os.replace(path, _before(path))


def read_state(path: Path, needed: set[str]) -> dict[str, Any]:
    """Read a state that holds at least `needed`, on the CPU.

    Raises DamagedState where its checksums (a state is a ZIP file) do not fit, or entries lack.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise DamagedState(f"{path}: damaged at its part {bad}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE:
        raise DamagedState(f"{path}: not a training state, or an incomplete one") from None
    if not isinstance(state, dict):
        raise DamagedState(f"{path}: not a training state")
    if missing := sorted(needed - state.keys()):
        raise DamagedState(f"{path}: not a training state: it lacks {', '.join(missing)}")
    return state


def states_in(folder: Path) -> Iterator[Path]:
    """The states in a working folder, the newest first."""
    newest = folder / STATE
    yield from (path for path in (newest, _before(newest)) if path.exists())


def load_newest(folder: Path, load: Callable[[Path], Loaded]) -> Loaded | None:
    """`load` the newest state in `folder` that is whole; None where there is none at all.

    Says on stderr what is passed over. Raises DamagedState where there are some but none is whole.
    """
    reasons = []
    for path in states_in(folder):
        try:
            loaded = load(path)
        except DamagedState as error:
            reasons.append(str(error))
            continue
        if reasons:
            print(f"{reasons[0]}; going on from the state before, {path.name}", file=sys.stderr)
        return loaded
    if reasons:
        raise DamagedState(f"{'; '.join(reasons)}; delete {folder} to train from the start")
    return None

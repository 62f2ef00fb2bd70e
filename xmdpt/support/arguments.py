"""Checks of command-line arguments, made before any work starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BadInput(ValueError):
    """The user asked for something impossible; the message is one line."""


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds, whose messages are one line for the user, into BadInput."""
    try:
        yield
    except kinds as error:
        raise BadInput(str(error)) from None


def check_clone() -> None:
    """Raise BadInput if the current folder has no settings, where a command works on a clone."""
    if not any(map(os.path.exists, ("params.yaml", "profiles", "claims.yaml"))):
        raise BadInput(
            f"{Path.cwd()}: no clone of xmdpt (params.yaml, profiles/), on which this command "
            "works; git clone the repository, and run it there"
        )


def check_place(path: Path) -> None:
    """Raise BadInput if no file or folder can be created at `path`."""
    path = path.absolute()
    folder = next((parent for parent in path.parents if parent.exists()), path)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"{path}: {folder} is not a writable folder; choose another place")


def check_new(path: Path) -> None:
    """Raise BadInput if `path` already exists or cannot be created."""
    if path.exists():
        raise BadInput(f"{path}: already exists; choose another name or remove it")
    check_place(path)


def check_file(path: Path) -> None:
    """Raise BadInput if `path` cannot be written or overwritten as a file."""
    check_place(path)
    if path.is_dir() or (path.is_file() and not os.access(path, os.W_OK)):
        raise BadInput(f"{path}: is a folder or a read-only file; choose another name")


def pick_device(name: str | None) -> str:
    """The device called `name`, or by default a GPU if there is one; BadInput if it is missing."""
    import torch  # takes seconds, and most commands need no device

    from xmdpt.support.precision import gpu_count

    count = gpu_count()
    if name is None:
        return "cuda" if count else "cpu"
    available = ["cpu", *["cuda"][:count], *(f"cuda:{number}" for number in range(count))]
    available += ["mps"] * torch.backends.mps.is_available()
    if name not in available:
        raise BadInput(f"--device {name}: not available here; choose {' or '.join(available)}")
    return name

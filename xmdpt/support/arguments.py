"""What commands ask of their arguments before any work is put into them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BadInput(ValueError):
    """What the user asked for cannot be done; the message is one line."""


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds, whose message is a line for the user, into BadInput."""
    try:
        yield
    except kinds as error:
        raise BadInput(str(error)) from None


def check_place(path: Path) -> None:
    """Raise BadInput for a path that has no folder to lie in."""
    path = path.absolute()
    folder = next((parent for parent in path.parents if parent.exists()), path)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(
            f"{path}: {folder} is no folder that can be written to; name a file elsewhere"
        )


def check_new(path: Path) -> None:
    """Raise BadInput for a file or folder that is there already, or has no folder to lie in."""
    if path.exists():
        raise BadInput(f"{path}: is there already; name one that is not, or remove it")
    check_place(path)


def check_file(path: Path) -> None:
    """Raise BadInput for a file that cannot be written, or written over."""
    check_place(path)
    if path.is_dir() or (path.is_file() and not os.access(path, os.W_OK)):
        raise BadInput(f"{path}: cannot be written; name a file")


def pick_device(name: str | None) -> str:
    """The device of that name; None takes a GPU where there is one. BadInput if it is not here."""
    import torch  # takes seconds, and most commands need no device

    from xmdpt.support.precision import gpu_count

    count = gpu_count()
    if name is None:
        return "cuda" if count else "cpu"
    here = ["cpu", *["cuda"][:count], *(f"cuda:{number}" for number in range(count))]
    here += ["mps"] * torch.backends.mps.is_available()
    if name not in here:
        raise BadInput(f"--device {name}: PyTorch has none here; there are: {', '.join(here)}")
    return name

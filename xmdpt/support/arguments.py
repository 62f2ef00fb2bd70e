"""Checks of command-line arguments, made before any work starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from xmdpt.config import Loader


class BadInput(ValueError):
    """The user asked for something impossible; the message is one line."""


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds, whose messages are one line for the user, into BadInput."""
    try:
        yield
    except kinds as error:
        raise BadInput(str(error)) from None


def split_setting(setting: str) -> tuple[str, str]:
    """NAME and VALUE of what follows --set; raises BadInput where there is no `=`."""
    name, equals, text = setting.partition("=")
    if not equals:
        raise BadInput(f"--set {setting}: needs NAME=VALUE")
    return name, text


def yaml_value(setting: str, text: str) -> Any:
    """The VALUE `text` of a setting, read as in params.yaml; raises BadInput for no YAML."""
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"--set {setting}: not a value in YAML ({reason})") from None


def check_clone() -> None:
    """Raise BadInput if the current folder has no settings, where a command works on a clone."""
    if not any(map(os.path.exists, ("params.yaml", "profiles", "claims.yaml"))):
        raise BadInput(
            f"{Path.cwd()}: no clone of xmdpt (params.yaml, profiles/), which this command needs; "
            "git clone the repository, and run it there"
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

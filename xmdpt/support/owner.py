"""One owner for each output, or several of a part each: a lock that ends with its process."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xmdpt.support.arguments import BadInput

if sys.platform != "win32":
    import fcntl

WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a file system says that has no locks."""


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _is_at(file: IO[str], lock: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False


def _lines(file: IO[str]) -> list[str]:
    file.seek(0)
    return file.read().splitlines()


def _who(file: IO[str]) -> str:
    """Who is at work, and what to do; of a part that was begun again, the last process counts."""
    lines = _lines(file)
    parts = {line.partition(" (")[0]: line for line in lines if " (" in line}
    names = [*parts.values()] or lines or ["another process"]  # beside parts, an owner is dead
    if len(names) == 1:
        return f"{names[0]} is at work on it; wait for it, or end it"
    return f"{names[0]} and {len(names) - 1} more are at work on it; wait for them, or end them"


def _acquire(path: Path, shared: bool) -> IO[str]:
    """Lock the file that stands for `path`, alone or beside others that share it."""
    lock = _lock_file(path)
    while True:
        file = open(lock, "a+")  # noqa: SIM115  # open is locked
        assert sys.platform != "win32", "no lock is asked for there"
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _who(file)
            file.close()
            raise BadInput(f"{path}: {who}") from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            print(
                f"{path}: the file system has no locks; start one process only, or shards and, "
                "when they have ended, their stage",
                file=sys.stderr,
            )
        if _is_at(file, lock):
            return file
        file.close()  # its owner removed it between our opening and locking it


def _note(file: IO[str], lines: list[str]) -> None:
    file.truncate(0)
    file.write("".join(f"{line}\n" for line in lines))
    file.flush()


@contextmanager
def sole_owner(path: Path) -> Iterator[None]:
    """Be the only process at work on `path`; a lock that a dead process left is taken over.

    Raises BadInput, which names the process that is at work, or one of several.
    """
    if sys.platform == "win32":  # which has no such locks
        yield
        return
    file = _acquire(path, shared=False)
    try:
        _note(file, [_this_process()])
        yield
    finally:
        _lock_file(path).unlink(missing_ok=True)  # before others may have it
        file.close()


@contextmanager
def part_owner(path: Path, part: str) -> Iterator[None]:
    """Be one of several at work on `path`, on the part of this name, while nobody owns all of it.

    Raises BadInput, which names the sole owner.
    """
    if sys.platform == "win32":
        yield
        return
    file = _acquire(path, shared=True)
    own = f"{part} ({_this_process()})"
    try:
        file.write(f"{own}\n")  # at the end, whatever the others write
        file.flush()
        yield
    finally:
        _note(file, [line for line in _lines(file) if line != own])
        file.close()  # the file stays for the others; the next sole owner removes it

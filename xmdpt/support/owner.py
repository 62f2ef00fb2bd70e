"""One owner for each output: a lock that ends with its process, however that ends."""

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


def _is_at(file: IO[str], lock: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False


def _acquire(path: Path) -> IO[str]:
    """Lock the file that stands for `path`, and note in it who did."""
    lock = _lock_file(path)
    while True:
        file = open(lock, "a+")  # noqa: SIM115  # open is locked
        assert sys.platform != "win32", "`sole_owner` asks for no lock there"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise BadInput(f"{path}: {owner} is at work on it; wait for it, or end it") from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            print(f"{path}: the file system has no locks; start one process only", file=sys.stderr)
        if _is_at(file, lock):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            return file
        file.close()  # its owner removed it between our opening and locking it


@contextmanager
def sole_owner(path: Path) -> Iterator[None]:
    """Be the only process at work on `path`; a lock that a dead process left is taken over.

    Raises BadInput, which names the process that is at work.
    """
    if sys.platform == "win32":  # which has no such locks
        yield
        return
    file = _acquire(path)
    try:
        yield
    finally:
        _lock_file(path).unlink(missing_ok=True)  # before others may have it
        file.close()

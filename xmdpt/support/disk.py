"""Why a file could not be written: the cause, the file and the cure, in one line."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPACE = "free some space, then run the same command to continue"
_READ_ONLY = "make it writable, or choose another place"
_RIGHTS = "change its rights, or choose another place"
CURES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or use another file system",
    errno.EIO: "the disk itself fails; use another one",
}
PROBE = 1 << 20  # bytes


class DiskError(OSError):
    """A file cannot be written; the message names it, the cause and the cure."""


def _cause(error: BaseException | None, path: Path) -> tuple[int | None, Path]:
    """The system's number of an error, or of the one that it came from, and the file it is of."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno, Path(error.filename or path)
        if found := re.search(r"os error (\d+)", str(error)):  # as safetensors reports it
            return int(found[1]), path
        error = error.__cause__ or error.__context__
    return None, path


def _probed(unfinished: Path) -> int | None:
    """What the system says to more of a file that a library failed to write; None for nothing."""
    if not unfinished.is_file():
        return None
    try:
        with open(unfinished, "ab") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    return None


@contextmanager
def disk_errors(path: Path, unfinished: Path | None = None) -> Iterator[None]:
    """Turn a failure to write `path` into DiskError where the system says why; pass on others.

    A library may keep the system's reason to itself. Then it is found by writing on at
    `unfinished`, the file that it was writing.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("xmdpt."):
            raise  # our own errors say what is wrong
        number, file = _cause(error, path)
        if number is None and unfinished is not None:
            number = _probed(unfinished)
        if number not in CURES:
            raise
        if file == unfinished:
            file = path
        raise DiskError(f"{file}: {os.strerror(number).lower()}; {CURES[number]}") from error

"""How a process ends: what went wrong in one line, and an exit code that says what to do."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process

from xmdpt.config import ConfigError
from xmdpt.support.arguments import BadInput
from xmdpt.support.notices import EXIT_CODE, Stopped

LOST = (
    "was killed, as happens when memory runs out, or could not begin, as in a script without "
    '`if __name__ == "__main__":`'
)
"""What there is to say of a process that ended without a word."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """End the process with exit code 2 at bad input, and with 75 at a scheduler's notice."""
    code = 2
    try:
        yield
        return
    except Stopped as notice:
        message, code = f"stopped: {notice}; run the same command to continue", EXIT_CODE
    except (BadInput, ConfigError) as error:
        message = f"error: {error}"
    except OSError as error:  # a full disk, a folder that somebody removed
        reason = error.strerror or str(error).partition("\n")[0]
        message = f"error: {error.filename}: {reason}" if error.filename else f"error: {reason}"
    print(message, file=sys.stderr)
    sys.exit(code)


def end_with_parent() -> None:
    """Let this process, which another one started by multiprocessing, end when that one does.

    One that is killed cannot tell its workers that there is no more to do.
    """

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

"""A scheduler's notice that the end is near (SIGTERM, or SLURM's SIGUSR1): save, then end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NOTICES = tuple(  # Windows has no SIGUSR1
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong; run the same command later to continue."""


class Stopped(BaseException):
    """Work ended at a notice, and what it had done is saved; the message is one line.

    Like KeyboardInterrupt no Exception, which somebody on the way might take for an error.
    """


@contextmanager
def notices(on_first: Callable[[int], None] | None = None) -> Iterator[Callable[[], bool]]:
    """Catch notices instead of ending at once; yield whether one has come so far.

    `on_first` is called with the number of the first, and may raise Stopped. After one has come,
    later ones are ignored for good: the process is about to end, and a scheduler that sends two
    must not interrupt that. Only a main thread can catch any; in others none is seen.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []

    def on_notice(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1 and on_first is not None:
            on_first(number)

    before = {number: signal.signal(number, on_notice) for number in NOTICES}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if came else handler or signal.SIG_DFL)


def stop_if(idle: Callable[[], bool]) -> Callable[[int], None]:
    """What to do at a first notice: raise Stopped at once while there is nothing to save."""

    def on_first(number: int) -> None:
        if idle():
            raise Stopped("nothing to save yet")

    return on_first

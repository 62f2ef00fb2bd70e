"""How a process starts: imports that take seconds, in less time."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Import in the block without looking for garbage, nor later among what is there at its end.

    Libraries of networks make a million objects that stay. Python looks through them again and
    again while they grow in number, which is a fifth of the time that importing takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # else libraries that count their objects say that we leak
        gc.enable()

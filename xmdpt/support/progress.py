"""How far long work is, a line a minute on stderr: for logs, where a bar is a thousand lines."""

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SAY_EVERY = 60.0
"""Seconds between two lines."""


def saying(run: str, steps: int) -> Callable[[dict[str, float]], None]:
    """Say on stderr, once a minute, how far a training is, and how long it will still take."""
    said = time.monotonic()
    first: tuple[float, float] | None = None

    def on_log(row: dict[str, float]) -> None:
        nonlocal said, first
        now, step = time.monotonic(), row["step"]
        if first is None:
            first = (step, now)
        if now - said < SAY_EVERY or step == first[0]:
            return
        said = now
        hours = (now - first[1]) / (step - first[0]) * (steps - step) / 3600
        print(
            f"{run}: step {step:.0f} of {steps}, loss {row['loss']:.4f}, {hours:.1f} h left",
            file=sys.stderr,
            flush=True,
        )

    return on_log


def told(items: Collection[T], what: str) -> Iterator[T]:
    """Pass items on, with a bar or, where TQDM_DISABLE switches bars off, a line a minute."""
    began = said = time.monotonic()
    in_log = bool(os.environ.get("TQDM_DISABLE"))
    for done, item in enumerate(tqdm(items, desc=what, disable=in_log), start=1):
        yield item
        now = time.monotonic()
        if in_log and now - said >= SAY_EVERY:
            said, hours = now, (now - began) / done * (len(items) - done) / 3600
            line = f"{what}: {done} of {len(items)}, {hours:.1f} h left"
            print(line, file=sys.stderr, flush=True)

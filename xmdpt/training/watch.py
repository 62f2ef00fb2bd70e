"""Processes that train together end together: one that is gone or hangs is named, the others end.

Each process notes every two seconds, in the store through which the processes met, that it is alive
and how far it is. Whoever sees that one is silent, or stays behind while the others wait for it,
says so and ends, and torchrun ends the rest. Without this they would wait in an exchange of
gradients, for minutes, and then not say for whom.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from accelerate import Accelerator
from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

BEAT = 2.0
"""Seconds between two notes."""
SILENT = 20.0
"""Seconds without a note after which a process counts as gone."""
BEHIND = 40.0
"""Seconds without anybody's progress after which the last one counts as hanging."""
BUSY, DONE = "busy", "done"


def fault(notes: Sequence[str], silent: Sequence[float], still: float) -> str | None:
    """What is wrong with one of the processes, in words, or None.

    `notes` are their last: a place, which is a number, `BUSY` or `DONE`. `silent` are the seconds
    since each was written, `still` those since any of them changed.
    """
    for rank, note in enumerate(notes):
        if note != DONE and silent[rank] > SILENT:
            return (
                f"process {rank} has not been heard of for {silent[rank]:.0f} s: killed, frozen, "
                "or its machine is gone"
            )
    places = {rank: int(note) for rank, note in enumerate(notes) if note.isdigit()}
    if len(places) < len(notes) or still <= BEHIND:
        return None
    last = min(places, key=places.__getitem__)
    if places[last] == max(places.values()):
        return None
    return (
        f"process {last} hangs: the others have waited {still:.0f} s for it, before its step "
        f"{places[last] // 2 + 1}"
    )


class Watch:
    """Watches over all processes while its `with` block runs; does nothing where there is one."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._note = "0"
        self._ended = threading.Event()

    def at(self, place: int) -> None:
        """Note progress: 2k while step k is read, 2k + 1 while it is computed."""
        self._note = str(place)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While it writes or measures what the others do not, a process may be behind for long."""
        note, self._note = self._note, BUSY
        yield
        self._note = note

    def __enter__(self) -> "Watch":
        if self.accelerator.num_processes > 1:
            store = PrefixStore("watch", _get_default_store().clone())
            keys = [str(rank) for rank in range(self.accelerator.num_processes)]
            self._ended.clear()
            self._write(store, 0)
            self.accelerator.wait_for_everyone()
            self._thread = threading.Thread(target=self._watch, args=(store, keys), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.accelerator.num_processes > 1:
            self._note = DONE
            self._ended.set()
            self._thread.join(2 * BEAT)  # the store may be gone

    def _write(self, store: PrefixStore, beat: int) -> None:
        store.set(str(self.accelerator.process_index), f"{beat} {self._note}")

    def _watch(self, store: PrefixStore, keys: list[str]) -> None:
        now = time.monotonic()
        heard, moved, seen = [now] * len(keys), now, [""] * len(keys)
        for beat in itertools.count(1):
            ended = self._ended.wait(BEAT)
            try:
                self._write(store, beat)
                found = [value.decode() for value in store.multi_get(keys)]
            except RuntimeError:
                self._end("the process that started first is gone, and the store with it")
                return
            if ended:
                return
            now = time.monotonic()
            heard = [now if a != b else at for a, b, at in zip(found, seen, heard, strict=True)]
            notes = [value.partition(" ")[2] for value in found]
            if notes != [value.partition(" ")[2] for value in seen]:
                moved = now
            seen = found
            if trouble := fault(notes, [now - at for at in heard], now - moved):
                self._end(trouble)

    def _end(self, trouble: str) -> None:
        if self._ended.is_set():
            return
        print(
            f"error: {trouble}; all processes end; run the same command to continue from the "
            "last saved state",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # the main thread waits for the others, and cannot be woken

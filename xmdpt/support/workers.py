"""Jobs side by side, each in a process and on a core of its own."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from queue import SimpleQueue
from typing import TypeVar

J = TypeVar("J")


def _cores(workers: int) -> list[int | None]:
    """A core for each worker; None where the system assigns none, or has too few."""
    if not hasattr(os, "sched_getaffinity"):
        return [None] * workers
    free = sorted(os.sched_getaffinity(0))
    return [free[i] if workers <= len(free) else None for i in range(workers)]


def _on_core(work: Callable[[J], object], job: J, core: int | None) -> None:
    import torch

    torch.set_num_threads(1)
    if core is not None:
        os.sched_setaffinity(0, {core})
    work(job)


def side_by_side(
    work: Callable[[J], object], jobs: Iterable[J], workers: int
) -> Iterator[tuple[J, bool]]:
    """Do `work` for each job, `workers` at a time; yield each as it ends, and whether it succeeded.

    A job has a process of its own, so that nothing of one (compiled code above all) weighs on the
    next, and one thread: two trainings on two cores are faster than one on both. `work` and the
    jobs must be picklable. What a failed job raised is on stderr.
    """
    cores: SimpleQueue[int | None] = SimpleQueue()
    for core in _cores(workers):
        cores.put(core)

    def in_process(job: J) -> tuple[J, bool]:
        core = cores.get()
        process = get_context("spawn").Process(target=_on_core, args=(work, job, core))
        process.start()
        process.join()
        cores.put(core)
        return job, process.exitcode == 0

    with ThreadPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(in_process, job) for job in jobs]):
            yield future.result()

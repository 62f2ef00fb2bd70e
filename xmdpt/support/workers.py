"""Jobs side by side, each in a process of its own, and on a core or a GPU of its own."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import TypeVar

from xmdpt.support.cores import usable_cores, workers_on_cores
from xmdpt.support.ends import in_one_line
from xmdpt.support.notices import Stopped, notices
from xmdpt.support.precision import gpu_count

J = TypeVar("J")
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Names the GPUs that a process may use, and by their order there it numbers them."""
_starting = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where a worker's jobs run: on one core, or on a GPU and any core."""

    core: int | None = None
    gpu: int | None = None
    threads: int = 1

    def take(self) -> None:
        """Put this process there, which was started with its GPU."""
        import torch

        torch.set_num_threads(self.threads)
        if self.core is not None:
            os.sched_setaffinity(0, {self.core})


def _places(workers: int) -> list[Place]:
    """A place for each worker: GPUs in turn if there are any, else a core each while they last."""
    cores, gpus = usable_cores(), gpu_count()
    if gpus:
        threads = max(1, len(cores) // workers)
        return [Place(gpu=index % gpus, threads=threads) for index in range(workers)]
    if workers > len(cores) or not hasattr(os, "sched_setaffinity"):
        return [Place()] * workers
    return [Place(core) for core in cores[:workers]]


def default_workers() -> int:
    """As many as there are GPUs, or else as `workers_on_cores` says."""
    return gpu_count() or workers_on_cores()


@contextmanager
def _visible(gpu: int | None) -> Iterator[None]:
    """Let a process that is started in the block see this GPU alone, from its first import on.

    It could not choose by itself: what it imports asks for GPUs, and CUDA stays with those that
    were visible then.
    """
    if gpu is None:
        yield
        return
    with _starting:
        given = os.environ.get(VISIBLE)  # by which GPUs were counted, too
        os.environ[VISIBLE] = given.split(",")[gpu].strip() if given else str(gpu)
        try:
            yield
        finally:
            if given is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = given


def _at(work: Callable[[J], object], job: J, place: Place) -> None:
    place.take()
    with in_one_line():
        work(job)


def side_by_side(
    work: Callable[[J], object], jobs: Iterable[J], workers: int
) -> Iterator[tuple[J, bool]]:
    """Do `work` for each job, `workers` at a time; yield each as it ends, and whether it succeeded.

    A job has a process of its own, so that nothing of one (compiled code above all) weighs on the
    next, and on a CPU one thread: two trainings on two cores are faster than one on both. `work`
    and the jobs must be picklable. What a failed job raised is on stderr. A scheduler's notice is
    passed on to the jobs at work; when they have ended, Stopped is raised.
    """
    places: SimpleQueue[Place] = SimpleQueue()
    for place in _places(workers):
        places.put(place)
    running: set[BaseProcess] = set()

    def pass_on(number: int) -> None:
        for process in [*running]:
            process.terminate()

    with notices(pass_on) as asked, ThreadPoolExecutor(workers) as pool:

        def in_process(job: J) -> tuple[J, bool]:
            if asked():
                return job, False
            place = places.get()
            try:
                process = get_context("spawn").Process(target=_at, args=(work, job, place))
                with _visible(place.gpu):
                    process.start()
                running.add(process)
                if asked():  # since the last look
                    process.terminate()
                process.join()
                running.discard(process)
            finally:  # also where no process could be started: others wait for the place
                places.put(place)
            return job, process.exitcode == 0

        waiting = [pool.submit(in_process, job) for job in jobs]
        try:
            for future in as_completed(waiting):
                if not asked():
                    yield future.result()
        finally:  # after Ctrl-C too, at which the jobs at work end, no more may begin
            pool.shutdown(cancel_futures=True)
    if asked():
        raise Stopped("the jobs at work have ended, and what they saved is kept")


@contextmanager
def tensors_by_name() -> Iterator[None]:
    """Give processes that are started tensors by name, not each as an open file.

    DINOv2-G, DINOv2-B and the VAE have 1,198, and often 1,024 files may be open.
    """
    from torch.multiprocessing import get_sharing_strategy, set_sharing_strategy

    before = get_sharing_strategy()
    set_sharing_strategy("file_system")
    try:
        yield
    finally:
        set_sharing_strategy(before)

"""The cores that this process may use: under SLURM or taskset they are fewer than the machine's."""

import os

MOST = 8


def usable_cores() -> list[int]:
    """Their numbers; those of all cores where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


def workers_on_cores() -> int:
    """A worker for each core, of which `MOST` at most: each takes a GB or two."""
    return min(MOST, len(usable_cores()))

"""The cores that this process may use: under SLURM or taskset they are fewer than the machine's."""

import os


def usable_cores() -> list[int]:
    """Their numbers; those of all cores where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]

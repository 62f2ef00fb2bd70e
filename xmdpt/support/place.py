"""Where this code lies, in a clone of the repository or installed without one, and its cores."""

import os
from pathlib import Path

_ABOVE = Path(__file__).parents[2]
CLONE: Path | None = _ABOVE if (_ABOVE / "pyproject.toml").is_file() else None
"""The folder of the clone that this code belongs to; None where a wheel was installed."""

MOST = 8


def own_cache() -> Path:
    """The folder of this user for what is made once, below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmdpt"


def free_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


def workers_on_cores() -> int:
    """A worker for each core, of which `MOST` at most: each takes a GB or two."""
    return min(MOST, len(free_cores()))

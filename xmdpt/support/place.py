"""Where this code lies: in a clone of the repository, or installed without one."""

import os
from pathlib import Path

_ABOVE = Path(__file__).parents[2]
CLONE: Path | None = _ABOVE if (_ABOVE / "pyproject.toml").is_file() else None
"""The folder of the clone that this code belongs to; None where a wheel was installed."""


def own_cache() -> Path:
    """The folder of this user for what is made once, below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmdpt"

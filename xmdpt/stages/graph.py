"""What DVC says of the graph."""

import json
import subprocess
import sys

from xmdpt.config import ConfigError

DVC = (sys.executable, "-m", "dvc")


def stale_stages(*stages: str) -> list[str]:
    """Those of the stages, by default of all, that are not up to date, in the graph's order.

    Raises ConfigError with what DVC says where it cannot tell.
    """
    done = subprocess.run([*DVC, "status", "--json", *stages], capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"dvc status: {done.stderr.strip()}")
    return [*json.loads(done.stdout)]

"""Runs trained ahead of their stages, one on each core: the graph then finds them finished.

DVC carries out one stage after another. A stage `train` goes on from what an earlier try has left
beside its output, so whatever was trained here costs it a few seconds.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from xmdpt.config import ConfigError, load_config
from xmdpt.features.rows import features_of, require_features
from xmdpt.support.workers import side_by_side
from xmdpt.training.run import train_run

MODELS = Path("models")
OnLog = Callable[[dict[str, float]], None]


def stale_runs() -> list[str]:
    """The runs of params.yaml that `dvc repro` would train in one process, in order."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "train"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"dvc status: {done.stderr.strip()}")
    stale = json.loads(done.stdout)
    config = load_config()
    alone = [run for run in config.runs if load_config(run=run).train.processes == 1]
    return [run for run in alone if f"train@{run}" in stale and run not in config.released]


def train_one(run: str, on_log: OnLog = lambda row: None) -> None:
    """Train a run of params.yaml, and leave what its stage goes on from."""
    train_run(load_config(run=run), features_of(run), MODELS / run, on_log, keep=True)


def train_ahead(workers: int) -> Iterator[tuple[str, bool]]:
    """Train what is stale, `workers` runs at a time; yield each with whether it succeeded.

    Raises ConfigError where the features are missing.
    """
    require_features()
    yield from side_by_side(train_one, stale_runs(), workers)

"""Runs trained, drawn and scored ahead of their stages, one on each core.

DVC carries out one stage after another. The stages `train`, `sample` and `evaluate` go on from what
an earlier try has left beside their outputs, so whatever was made here costs them a few seconds.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.features.rows import features_of, require_features
from xmdpt.stages.graph import stale_stages
from xmdpt.stages.kept import drop_recorded, keep_for_stage
from xmdpt.stages.shards import do_shard
from xmdpt.support.arguments import one_line
from xmdpt.support.progress import saying
from xmdpt.support.shards import Shard
from xmdpt.support.workers import side_by_side
from xmdpt.training.errors import TrainingError
from xmdpt.training.run import train_run
from xmdpt.weights.runs import MODELS, SAMPLES, draw_run

STAGES = ("train", "sample", "evaluate")
KEPT = {"train": MODELS, "sample": SAMPLES}
"""Where the outputs lie of stages whose working folders are kept."""
OnLog = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Ahead:
    """The last of `STAGES` of a run, from the first that is stale."""

    run: str
    stages: tuple[str, ...]


def stale_work() -> list[Ahead]:
    """What `dvc repro` would make of the runs of params.yaml in one process, in their order."""
    stale = stale_stages(*STAGES)
    found = []
    for run in load_config().runs:
        first = next((i for i, stage in enumerate(STAGES) if f"{stage}@{run}" in stale), None)
        if first is not None and (first > 0 or _is_trained_alone(run)):
            found.append(Ahead(run, STAGES[first:]))
    return found


def _is_trained_alone(run: str) -> bool:
    """Whether one process here trains a run, neither several nor the authors."""
    config = load_config(run=run)
    return config.train.processes == 1 and run not in config.released


def train_one(run: str, on_log: OnLog = lambda row: None) -> None:
    """Train a run of params.yaml, and leave what its stage goes on from."""
    train_run(load_config(run=run), features_of(run), MODELS / run, on_log, keep=True)


def draw_one(run: str) -> None:
    """Draw the test pairs of a trained run, and leave what its stage goes on from."""
    config = load_config(run=run)
    draw_run(config, run, DeepFashion(config.data.root, config.data.size))


def score_one(run: str) -> None:
    """Score what was drawn of a run, pair by pair, and leave what its stage goes on from."""
    do_shard("evaluate", run, Shard())


def _carry_out(job: Ahead) -> None:
    say = saying(job.run, load_config(run=job.run).train.steps)
    work: dict[str, Callable[[str], None]] = {
        "train": partial(train_one, on_log=say), "sample": draw_one, "evaluate": score_one,
    }  # fmt: skip
    with one_line(DataError, TrainingError):
        for stage in job.stages:
            print(f"{job.run}: {stage}", file=sys.stderr, flush=True)
            work[stage](job.run)
            if stage in KEPT:
                keep_for_stage(KEPT[stage] / job.run)


def make_ahead(workers: int) -> Iterator[tuple[Ahead, bool]]:
    """Make what is stale, `workers` runs at a time; yield each with whether it succeeded.

    Raises ConfigError where the features are missing.
    """
    require_features()
    drop_recorded(Path("."))  # what is there from before, which is not to be kept
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would overwrite each other
    yield from side_by_side(_carry_out, stale_work(), workers)

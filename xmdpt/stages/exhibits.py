"""The paper's exhibits carried out side by side, ahead of the graph.

One `dvc repro` carries out one stage after another, but DVC allows several of them at a time where
their stages share no output. The exhibits share none, so each has its own, which does and records
what the one would have.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from xmdpt.config import ConfigError
from xmdpt.stages.graph import DVC, stale_stages

STAGES = ("from_scores", "table_2", "from_pictures", "from_weights", "from_costs", "from_model")
PAGE = "report"


@dataclass(frozen=True)
class Made:
    """The stage of an exhibit, whether it succeeded, and what it said on stderr."""

    stage: str
    succeeded: bool
    said: str


def stale_exhibits() -> list[str]:
    """The stages of exhibits that are not up to date.

    Raises ConfigError where a stage before them is not.
    """
    stale = stale_stages()
    kinds = {stage: stage.partition("@")[0] for stage in stale}
    before = [stage for stage in stale if kinds[stage] not in (*STAGES, PAGE)]
    if before:
        raise ConfigError(
            f"{', '.join(before)}: not up to date, and exhibits are made from what stages before "
            "them make; `dvc repro evaluate costs` carries those out"
        )
    return [stage for stage in stale if kinds[stage] in STAGES]


def _make(stage: str) -> Made:
    """Carry out a stage alone; DVC's lock, held while it looks and records, is waited for."""
    command = [*DVC, "--wait-for-lock", "repro", "--single-item", stage]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return Made(stage, done.returncode == 0, done.stderr.strip())


def make_exhibits(workers: int) -> Iterator[Made]:
    """Carry out what is stale, `workers` at a time; yield each as it ends.

    They keep all threads: numbers drawn by a network may depend on how many there are. Raises
    ConfigError as `stale_exhibits` does.
    """
    stages = stale_exhibits()
    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(_make, stage) for stage in stages]
        try:
            for future in as_completed(running):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

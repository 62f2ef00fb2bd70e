"""The training of the stage `train`, in as many processes as the settings say.

Several leave a finished state in the working folder, from which the notebook goes on: all that is
left for it is to keep the weights. `python -m xmdpt.training.run_stage` is one of them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from xmdpt.config import Config, load_config
from xmdpt.data.deepfashion import DataError
from xmdpt.support.arguments import one_line
from xmdpt.support.ends import in_one_line
from xmdpt.training.errors import TrainingError
from xmdpt.training.processes import in_processes, report
from xmdpt.training.run import train_run

OnRow = Callable[[dict[str, float]], None]


def train_stage(
    config: Config,
    run: str,
    params: str | Path,
    features: str | Path,
    on_log: OnRow,
    on_found: OnRow,
) -> pd.DataFrame:
    """Train a run for its stage, as `train_run` does; raises TrainingError as `in_processes`."""
    out = f"models/{run}"
    if config.train.processes == 1:
        return train_run(config, features, out, on_log, keep=True, on_found=on_found)
    words = (run, str(params), str(features), out)
    for kind, row in in_processes(config.train.processes, __name__, *words):
        (on_log if kind == "log" else on_found)(row)
    return train_run(config, features, out, keep=True)


def main(run: str, params: str, features: str, out: str) -> None:
    """Train in one of several processes."""
    train_run(
        load_config(params, run),
        features,
        out,
        lambda row: report("log", row),
        keep=True,
        on_found=lambda row: report("found", row),
    )


if __name__ == "__main__":
    with in_one_line(), one_line(DataError, TrainingError):
        main(*sys.argv[1:])

"""A run trained outside the graph and its notebook, in one process or under torchrun in several."""

import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from xmdpt.config import ConfigError, load_config
from xmdpt.features.rows import features_of, require_features
from xmdpt.support.arguments import split_setting, yaml_value
from xmdpt.support.progress import saying
from xmdpt.training.device import accelerator, share_of
from xmdpt.training.run import train_run


def read_settings(settings: list[str]) -> dict[str, Any]:
    """NAME=VALUE, each as a key and its YAML value; raises BadInput for anything else."""
    named = ((setting, *split_setting(setting)) for setting in settings)
    return {name: yaml_value(setting, text) for setting, name, text in named}


def train_alone(run: str, out: Path, settings: list[str]) -> None:
    """Train `run` with changed settings, and keep its weights in `out`.

    Says how the global batch is divided; the rate stays as it is set, whatever the number of
    processes. Raises ConfigError where the features are missing.
    """
    config = load_config(run=run, changes=read_settings(settings))
    if released := config.experiments[run].released:
        raise ConfigError(f"{run}: is not trained: its weights are published, {released}")
    require_features()
    chosen = accelerator()
    parts = config.train.accumulation
    own = share_of(chosen, "train", config.train.batch_size, parts)
    first = chosen.is_main_process
    if first:
        print(
            f"{run}: {config.train.steps:,} steps of {config.train.batch_size} pairs, "
            f"{own.stop - own.start} in each of {chosen.num_processes} processes"
            f"{f', {parts} parts one after the other' if parts > 1 else ''}; learning rate "
            f"{config.train.learning_rate:g}",
            file=sys.stderr,
        )
    with chosen.main_process_first():  # which makes what is not there
        features = features_of(run)
    bar = tqdm(total=config.train.steps, desc=run, unit="step", disable=None if first else True)
    say = saying(run, config.train.steps)

    def on_log(row: dict[str, float]) -> None:
        bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
        bar.update(row["step"] - bar.n)
        if first and bar.disable:  # in a log file
            say(row)

    with bar:
        train_run(config, features, out, on_log)
    if first:
        print(f"wrote {out}")

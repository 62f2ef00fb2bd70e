"""One machine's share of a stage, done ahead of it: the stage then finds its pieces finished."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from xmdpt.config import Config, ConfigError, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.evaluation.shards import row_store
from xmdpt.evaluation.summary import score_shard
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import SHARED, names_to_cache
from xmdpt.people.dataset import render_dataset
from xmdpt.support.precision import gpu_count
from xmdpt.support.shards import Shard
from xmdpt.weights.runs import MODELS, SAMPLES, draw_run

Name = Literal["render", "features", "sample", "evaluate"]
OF_A_RUN = ("sample", "evaluate")
LOCAL_RANK = "LOCAL_RANK"
"""Set by torchrun: the number of this process on its machine."""


def _take_gpu() -> None:
    """Make the GPU of this process's number the one that `cuda` means."""
    if LOCAL_RANK in os.environ and (gpus := gpu_count()):
        torch.cuda.set_device(int(os.environ[LOCAL_RANK]) % gpus)


def _data(config: Config) -> DeepFashion:
    if not Path(config.data.root).is_dir():
        raise ConfigError(f"{config.data.root}: missing; `dvc repro prepare` makes it")
    return DeepFashion(config.data.root, config.data.size)


def _render(config: Config, run: str, shard: Shard) -> None:
    rendered = config.data.rendered
    if rendered is None:
        raise ConfigError(
            f"params.yaml: data.rendered: not set, so nobody is rendered: {config.data.raw} is "
            "indexed, by `dvc repro prepare` in one process"
        )
    render_dataset(Path(config.data.root), **rendered.model_dump(), seed=config.seed, shard=shard)


def _features(config: Config, run: str, shard: Shard) -> None:
    data = _data(config)
    if not (MODELS / "vae").is_dir():
        raise ConfigError(f"{MODELS / 'vae'}: missing; `dvc repro vae` makes it")
    vae = AutoencoderKL.from_pretrained(MODELS / "vae", local_files_only=True)
    names = names_to_cache(config, data)
    encoders = Encoders.load(vae, config.features)
    processes = 1 if LOCAL_RANK in os.environ else None  # torchrun has started one for each GPU
    cache_features(SHARED, names, data, encoders, config.features, processes=processes, shard=shard)


def _sample(config: Config, run: str, shard: Shard) -> None:
    draw_run(config, run, _data(config), shard)


def _evaluate(config: Config, run: str, shard: Shard) -> None:
    folders = [SAMPLES / run / name for name in config.train.checkpoints]
    drawn = [folder for folder in folders if folder.is_dir()]
    if not drawn:
        raise ConfigError(f"{SAMPLES / run}: missing; `dvc repro sample@{run}` makes it")
    data = _data(config)
    score_shard(drawn, data.root, config.evaluate.protocol, row_store(run, shard))


WORK: dict[Name, Callable[[Config, str, Shard], None]] = {
    "render": _render,
    "features": _features,
    "sample": _sample,
    "evaluate": _evaluate,
}


def do_shard(stage: Name, run: str | None, shard: Shard) -> None:
    """Do a share of a stage's work, in the folder of the settings.

    `sample` and `evaluate` are of a run. Raises ConfigError for one too many or too few, and for
    what is missing of an earlier stage.
    """
    config = load_config(run=run)
    if stage in OF_A_RUN and run is None:
        raise ConfigError(f"{stage}: needs a run, one of {', '.join(config.runs)}")
    if stage not in OF_A_RUN and run is not None:
        raise ConfigError(f"{stage} {run}: {stage} is the same for all runs; leave out the run")
    _take_gpu()
    WORK[stage](config, run or "", shard)

"""One run of the study: a row is trained with a seed, draws the test pairs, and is scored.

What it leaves is `<row>-<seed>.json` (see `scores`), with the settings and the commit that made it.
A run whose file is there is finished, on whichever machine: it is not made again, whatever has
changed since.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, SampleConfig, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.evaluation.evaluate import training_statistics
from xmdpt.evaluation.features import Statistics
from xmdpt.study.scores import file_name, score_drawing
from xmdpt.support.files import fingerprint, resumable_dir, write_json
from xmdpt.support.hub import load_pretrained
from xmdpt.training.run import settings_key, train_run, weights_digest
from xmdpt.weights.runs import load_run, sample_pairs

FEATURES = Path("data/cache/features")
MODELS = Path("models")
OTHER_NOISE = 1_000_000
"""Added to the seed of a drawing from other noise."""


@dataclass(frozen=True)
class Drawing:
    """How a trained row draws, where that differs from the profile."""

    sample: Mapping[str, Any] = field(default_factory=dict)
    other_noise: bool = False
    untuned_vae: bool = False


DRAWINGS = {
    "guidance_low": Drawing(sample={"guidance_scale": 1.5}),
    "other_noise": Drawing(other_noise=True),
    "vae_as_it_was": Drawing(untuned_vae=True),
}
"""Rows of claims.yaml that base_b draws, with the same weights."""
DRAWN_BY = "base_b"


def rows_of(row: str) -> dict[str, Drawing]:
    """The rows that a run of `row` draws: its own, and of base_b those in `DRAWINGS`."""
    return {row: Drawing()} | (DRAWINGS if row == DRAWN_BY else {})


def _commit() -> str:
    """The commit that is checked out, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _settings(params: str | Path, row: str, seed: int) -> Config:
    config = load_config(params, row)
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def _train(config: Config, name: str) -> None:
    """Train models/`name`, if it is not there."""
    if (MODELS / name).is_dir():
        return
    with tqdm(total=config.train.steps, desc=name, unit="step") as bar:

        def on_log(row: dict[str, float]) -> None:
            bar.update(row["step"] - bar.n)

        train_run(config, FEATURES, MODELS / name, on_log)


def _draw(
    config: Config, name: str, seed: int, data: DeepFashion, drawing: Drawing, folder: Path
) -> None:
    """Draw all test pairs with the weights of models/`name` into `folder`."""
    pipeline = load_run(config, name, config.last_checkpoint, MODELS)
    if drawing.untuned_vae:
        if config.vae.init is None:
            raise ConfigError("vae.init: null, so that there is no autoencoder before fine-tuning")
        pipeline.vae = load_pretrained(AutoencoderKL.from_pretrained, config.vae.init, "vae.init")
    settings = SampleConfig.model_validate(config.sample.model_dump() | dict(drawing.sample))
    noise = seed + OTHER_NOISE if drawing.other_noise else seed
    with resumable_dir(folder, fingerprint(name, settings.model_dump(), noise)) as unfinished:
        sample_pairs(pipeline, data, data.pairs("test"), unfinished, settings, noise)


def carry_out(
    params: str | Path, row: str, seed: int, out: str | Path, work: str | Path = "data/study"
) -> list[Path]:
    """Train, draw and score one row with one seed; return the files written to `out`.

    Finished files are kept as they are, and an interrupted training goes on. `params` are the
    settings of the study, whose people, autoencoder and features the stages `prepare`, `vae` and
    `features` have made.
    """
    out, work = Path(out), Path(work)
    names = {name: out / file_name(name, seed) for name in rows_of(row)}
    missing = {name: path for name, path in names.items() if not path.is_file()}
    if not missing:
        return []
    config = _settings(params, row, seed)
    key = settings_key(config, weights_digest(config.train.init))
    name = f"study/{row}-{seed}-{key}"
    began = process_time()
    _train(config, name)
    about = {
        "commit": _commit(),
        "profile": config.profile,
        "model": config.model.model_dump(),
        "train": config.train.model_dump(),
        "minutes": round((process_time() - began) / 60, 1),  # of a core, in this process
        "samples": config.train.steps * config.train.batch_size,
        "torch": torch.__version__,
    }
    data = DeepFashion(config.data.root, config.data.size)
    train = _statistics(config)
    for drawn, path in missing.items():
        drawing, folder = rows_of(row)[drawn], work / f"{drawn}-{seed}"
        _draw(config, name, seed, data, drawing, folder)
        write_json(path, about | score_drawing(folder, data.root, train))
    return [*missing.values()]


def _statistics(config: Config) -> dict[str, Statistics]:
    """The training pictures' side of the distances, cached beside the other stages' statistics."""
    size = (config.data.size, config.data.size)
    return training_statistics(
        config.data.root, "synthetic", size, cache_dir="data/cache/statistics", progress=False
    )

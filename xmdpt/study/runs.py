"""One run of the study: a row is trained with a seed, draws the test pairs, and is scored.

What it leaves, in the folder of results:

* `<row>-<seed>.json`: the scores (see `scores`), with the settings and the commit that made them;
* `<row>-<seed>.tsv`: the losses while it was trained;
* `<row>-<seed>.jpg`: what it drew of `SHOWN` pairs, the same for all rows, side by side.

A run whose scores are there is finished, on whichever machine: it is not made again, whatever has
changed since.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, SampleConfig, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name, spread
from xmdpt.evaluation.baselines import pairs_to_draw, write_baselines, write_limits
from xmdpt.evaluation.evaluate import training_statistics
from xmdpt.evaluation.features import Statistics
from xmdpt.features.cache import FeatureCache
from xmdpt.features.rows import features_of
from xmdpt.metrics.labels import BASELINES, LIMITS
from xmdpt.study.design import BASE
from xmdpt.study.scores import file_name, score_drawing, write_scores
from xmdpt.support.files import atomic_path, fingerprint, resumable_dir
from xmdpt.support.git import commit_of
from xmdpt.support.hub import load_pretrained, weights_key
from xmdpt.support.place import CLONE
from xmdpt.training.run import run_key, train_run
from xmdpt.training.vae import reconstruct
from xmdpt.weights.runs import load_run, sample_pairs

VAE = Path("models/vae")
WORK = Path("data/study_work")
"""Weights and pictures of the runs, which are not kept in git."""
OTHER_NOISE = 1_000_000
"""Added to the seed of a drawing from other noise."""
SHOWN = 12


@dataclass(frozen=True)
class Drawing:
    """How a trained row draws, where that differs from the profile."""

    sample: Mapping[str, Any] = field(default_factory=dict)
    other_noise: bool = False
    untuned_vae: bool = False


DRAWINGS = {
    "base_b": {
        "guidance_low": Drawing(sample={"guidance_scale": 1.5}),
        "other_noise": Drawing(other_noise=True),
        "vae_as_it_was": Drawing(untuned_vae=True),
    },
    "base_b_guided": {
        "guidance_1": Drawing(sample={"guidance_scale": 1.0}),
        "guidance_3": Drawing(sample={"guidance_scale": 3.0}),
        "guidance_5": Drawing(sample={"guidance_scale": 5.0}),
    },
}
"""Row that is trained -> rows of claims.yaml that its weights draw, beside its own."""


def rows_of(row: str) -> dict[str, Drawing]:
    """The rows that a run of `row` draws: its own, and those in `DRAWINGS`."""
    return {row: Drawing()} | DRAWINGS.get(row, {})


def code_commit() -> str:
    """The last commit that changed the package that runs, on which results depend.

    Not that of the current folder: `xmdpt` there may be the command of another clone.
    """
    return commit_of("xmdpt", folder=CLONE)


def _settings(params: str | Path, row: str, seed: int) -> Config:
    config = load_config(params, row)
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def _train(config: Config, folder: Path, features: Path) -> float:
    """Train the weights in `folder`, if it is not there; return the minutes of a core it took.

    What was spent before an interruption is kept in a file beside the folder.
    """
    kept = folder.with_name(f"{folder.name}.minutes")
    before = float(kept.read_text()) if kept.is_file() else 0.0
    if folder.is_dir():
        return before
    began = process_time()
    try:
        with tqdm(total=config.train.steps, desc=folder.name, unit="step", disable=None) as bar:

            def on_log(row: dict[str, float]) -> None:
                bar.update(row["step"] - bar.n)

            train_run(config, features, folder, on_log)
    finally:
        minutes = before + (process_time() - began) / 60
        with atomic_path(kept) as partial_path:
            partial_path.write_text(f"{minutes:.3f}\n")
    return minutes


def _sampling(config: Config, drawing: Drawing) -> SampleConfig:
    """The profile's settings of `sample`, and where a drawing differs its own."""
    return SampleConfig.model_validate(config.sample.model_dump() | dict(drawing.sample))


def _draw(
    config: Config, weights: Path, seed: int, data: DeepFashion, drawing: Drawing, folder: Path
) -> None:
    """Draw the test pairs with the run `weights` into `folder`."""
    pipeline = load_run(config, weights.name, config.last_checkpoint, weights.parent, VAE)
    if drawing.untuned_vae:
        if config.vae.init is None:
            raise ConfigError(
                "vae.init: null, so there is no autoencoder before its training to draw with; name "
                "the one to start from"
            )
        pipeline.vae = load_pretrained(AutoencoderKL.from_pretrained, config.vae.init, "vae.init")
    settings = _sampling(config, drawing)
    noise = seed + OTHER_NOISE if drawing.other_noise else seed
    bar = partial(tqdm, desc=folder.name, unit="batch", disable=None)
    key = fingerprint(weights.name, weights_key([pipeline.vae]), settings.model_dump(), noise)
    with resumable_dir(folder, key) as unfinished:
        sample_pairs(pipeline, data, _pairs(config, data), unfinished, settings, noise, bar)


def _pairs(config: Config, data: DeepFashion) -> list[tuple[str, str]]:
    """The test pairs that every row draws."""
    return pairs_to_draw(config, data.pairs("test"))


def _write_sheet(folder: Path, pairs: Sequence[tuple[str, str]], path: Path) -> None:
    """Write the results of some pairs, side by side, as one picture."""
    shown = [np.asarray(Image.open(folder / result_name(*pair))) for pair in spread(pairs, SHOWN)]
    with atomic_path(path) as partial_path:
        Image.fromarray(np.concatenate(shown, axis=1)).save(partial_path, quality=92)


def carry_out(
    params: str | Path, row: str, seed: int, out: str | Path, work: str | Path = WORK
) -> list[Path]:
    """Train, draw and score one row with one seed; return the scores' files written to `out`.

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
    data, features = DeepFashion(config.data.root, config.data.size), features_of(row, params)
    key = run_key(config, FeatureCache(features), data.targets("train"))
    weights = work / "weights" / f"{row}-{seed}-{key}"
    minutes = _train(config, weights, features)
    about = {
        "commit": code_commit(),
        "minutes": round(minutes, 1),  # of a core
        "features": config.features.model_dump(),
        "model": config.model.model_dump(),
        "train": config.train.model_dump(),
        "samples": config.train.steps * config.train.batch_size,
        "torch": torch.__version__,
    }
    with atomic_path(names[row].with_suffix(".tsv")) as partial_path:
        shutil.copyfile(weights / "history.tsv", partial_path)
    for drawn, path in missing.items():
        drawing, folder = rows_of(row)[drawn], work / "drawings" / f"{drawn}-{seed}"
        _draw(config, weights, seed, data, drawing, folder)
        _write_sheet(folder, _pairs(config, data), path.with_suffix(".jpg"))
        sample = {"sample": _sampling(config, drawing).model_dump()}
        write_scores(path, about | sample | score_drawing(folder, data.root, _statistics(config)))
    return [*missing.values()]


def score_baselines(params: str | Path, out: str | Path) -> list[Path]:
    """Score what needs no training, as seed 0 of rows of their names; return the files written."""
    names = {name: Path(out) / file_name(name, 0) for name in (*BASELINES, *LIMITS)}
    if all(path.is_file() for path in names.values()):
        return []
    config = load_config(params, BASE)
    data = DeepFashion(config.data.root, config.data.size)
    vae = AutoencoderKL.from_pretrained(VAE, local_files_only=True)
    pairs = _pairs(config, data)
    with tempfile.TemporaryDirectory() as folder:
        answers = write_baselines(folder, data, pairs)
        answers |= write_limits(folder, data, pairs, partial(reconstruct, vae))
        for name, path in names.items():
            _write_sheet(answers[name], pairs, path.with_suffix(".jpg"))
            scores = score_drawing(answers[name], data.root, _statistics(config))
            if name == "truth":  # it equals its references: only distances say something
                scores["means"] = {}
            write_scores(path, {"commit": code_commit()} | scores)
    return [*names.values()]


def _statistics(config: Config) -> dict[str, Statistics]:
    """The training pictures' side of the distances, cached beside the other stages' statistics."""
    size = (config.data.size, config.data.size)
    return training_statistics(
        config.data.root, "synthetic", size, cache_dir="data/cache/statistics", progress=False
    )

"""Make the small bundled weights in data/pretrained/xmdpt-synthetic/: `make pretrained`.

It calls what the stages call, on rendered people that no other profile has. Finished parts are
kept beside the people of `data.root`, so an interrupted call goes on; a part that was made with
other settings is refused.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, RenderedConfig, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.make import Encoders, cache_features
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.people.dataset import render_dataset
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import scheduler_for
from xmdpt.support.files import fingerprint, read_json, resumable_dir, write_json
from xmdpt.training.run import settings_key, train_run, weights_digest
from xmdpt.training.states import STATES
from xmdpt.training.vae import SAME_WEIGHTS, load_vae, train_vae, vae_key

NOTE = "weights.json"
"""A file beside the parts: digests of the weights that the round began with, and of its result."""


def _work(config: Config) -> Path:
    return Path(config.data.root).parent


def _weights(vae: str | None, transformer: str | None) -> list[str | None]:
    return [weights_digest(vae), weights_digest(transformer)]


def _start(config: Config) -> list[str | None]:
    """Digests of the weights that the round began with, which a finished round has overwritten."""
    now = _weights(config.vae.init, config.train.init)
    note = _work(config) / NOTE
    known: dict[str, list[str | None]] = read_json(note, "delete it") if note.is_file() else {}
    return known["start"] if known.get("result") == now else now


def _rendered(config: Config) -> RenderedConfig:
    if config.data.rendered is None:
        raise ConfigError("data.rendered: the small weights are trained on rendered people only")
    return config.data.rendered


def parts_of(config: Config, run: str) -> dict[Path, str]:
    """Return each part's folder, in order, with a key for all settings that it depends on."""
    rendered = _rendered(config).model_dump()
    if rendered["world"] == "white":  # which is the default, and no part of a note
        del rendered["world"]
    people = fingerprint(rendered, config.seed)
    vae_start, transformer_start = _start(config)
    settings = config.vae.model_dump(exclude=SAME_WEIGHTS)
    vae = fingerprint(people, config.data.size, settings, vae_start)
    features = fingerprint(vae, config.features.model_dump())
    work = _work(config)
    return {
        Path(config.data.root): people,
        work / "vae": vae,
        work / "features": features,
        work / run: fingerprint(features, settings_key(config, transformer_start)),
    }


def check_parts(parts: Mapping[Path, str]) -> None:
    """Note the key of its settings beside each part that is yet to be made.

    Raises ConfigError, which names them, for parts that were made with other settings.
    """
    notes = {folder: folder.with_name(f"{folder.name}.settings") for folder in parts}
    stale = [
        str(folder)
        for folder, key in parts.items()
        if folder.exists() and not (notes[folder].is_file() and notes[folder].read_text() == key)
    ]
    if stale:
        raise ConfigError(
            f"{', '.join(stale)}: made with other or unknown settings; delete or move these, and "
            "they are made again"
        )
    for folder, note in notes.items():
        if not folder.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(parts[folder])


def _people(config: Config) -> DeepFashion:
    data = config.data
    if not Path(data.root).exists():
        rendered = _rendered(config).model_dump()
        render_dataset(Path(data.root), **rendered, seed=config.seed)
    return DeepFashion(data.root, data.size)


def _autoencoder(config: Config, data: DeepFashion) -> AutoencoderKL:
    folder = _work(config) / "vae"
    if not folder.exists():
        names = data.pictures("train")
        vae = load_vae(config.vae, config.data.size, config.seed)
        key = vae_key(config.vae, vae, data, names, config.seed)
        with resumable_dir(folder, key, scratch=STATES) as work:
            bar = tqdm(total=config.vae.steps, desc="vae")

            def read(index: int) -> np.ndarray:
                return data.picture(names[index])

            for progress in train_vae(vae, read, len(names), config.vae, config.seed, work):
                bar.update(progress.step - bar.n)
                if progress.step % 50 == 0:
                    bar.write(f"{progress.step} {progress.losses}")
    trained: AutoencoderKL = AutoencoderKL.from_pretrained(folder)
    return trained.eval()


def write_over(pipe: XMDPTPipeline, out: Path) -> None:
    """Put the pipeline in the place of that in `out`, as float16; the model card stays.

    A network for `turbo` goes: it has learned from other weights.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        pipe.to(dtype=torch.float16).save_pretrained(folder)
        for part in Path(folder).iterdir():
            if part.is_dir():
                shutil.rmtree(out / part.name, ignore_errors=True)
            os.replace(part, out / part.name)
    shutil.rmtree(out / "turbo", ignore_errors=True)


def pretrain(config_path: str, out: Path) -> None:
    """Render people, train the autoencoder and the one run in `runs`; write both as float16."""
    [run] = load_config(config_path).runs
    config = load_config(config_path, run)
    check_parts(parts_of(config, run))
    out.mkdir(parents=True, exist_ok=True)
    data = _people(config)
    vae = _autoencoder(config, data)
    features, trained = _work(config) / "features", _work(config) / run
    if not features.exists():
        encoders = Encoders.load(vae, config.features)
        names = [*data.pictures("train"), *data.pictures("test")]  # test: for the probe alone
        cache_features(features, names, data, encoders, config.features)
    if not trained.exists():
        train_run(config, features, trained, print)
    pipe = XMDPTPipeline(
        vae,
        XMDPTTransformer2DModel.from_pretrained(trained / "main"),
        scheduler_for(config.train.objective),
        config.features.source_encoder,
        config.features.pose_encoder,
        config.features.imagenet_normalization,
        config.features.precision,
    )
    start = _start(config)
    write_over(pipe, out)
    result = _weights(str(out / "vae"), str(out / "transformer"))
    write_json(_work(config) / NOTE, {"start": start, "result": result})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="data/pretrained/pretrain.yaml")
    parser.add_argument("--out", type=Path, default=Path("data/pretrained/xmdpt-synthetic"))
    arguments = parser.parse_args()
    try:
        pretrain(arguments.profile, arguments.out)
    except ConfigError as error:
        parser.error(str(error))

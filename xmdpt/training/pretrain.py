"""Makes the small weights that ship in data/pretrained/xmdpt-synthetic/: `make pretrained`.

All of it is done by the pieces that the stages use, on rendered people that no other profile has.
Work lies beside the people of `data.root`; each finished part is kept, so an interrupted call goes
on. A part that was made with other settings is refused.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.diffusion import make_scheduler
from xmdpt.features.make import Encoders, cache_features
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.people.dataset import render_dataset
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import fingerprint, resumable_dir, write_json
from xmdpt.training.run import settings_key, train_run, weights_digest
from xmdpt.training.vae import SAME_WEIGHTS, STATE, load_vae, train_vae, vae_key

NOTE = "weights.json"
"""Beside the parts: digests of the weights that the round began with, and of its own."""


def _work(config: Config) -> Path:
    return Path(config.data.root).parent


def _weights(vae: str | None, transformer: str | None) -> list[str | None]:
    return [weights_digest(vae), weights_digest(transformer)]


def _start(config: Config) -> list[str | None]:
    """Which weights the round began with: a round that is finished has written over them."""
    now = _weights(config.vae.init, config.train.init)
    note = _work(config) / NOTE
    known = json.loads(note.read_text()) if note.is_file() else {"result": None}
    return known["start"] if known["result"] == now else now


def parts_of(config: Config, run: str) -> dict[Path, str]:
    """The folder of each part, in order, and a name for all settings that it depends on."""
    rendered = config.data.rendered
    if rendered is None:
        raise ConfigError("data.rendered: the small weights are made on rendered people only")
    people = fingerprint(rendered.model_dump(), config.seed)
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
    """Note the settings, given by name, beside each part that is yet to be made.

    Raises ConfigError that names the parts which are there, but made with other settings.
    """
    notes = {folder: folder.with_name(f"{folder.name}.settings") for folder in parts}
    stale = [
        str(folder)
        for folder, name in parts.items()
        if folder.exists() and not (notes[folder].is_file() and notes[folder].read_text() == name)
    ]
    if stale:
        raise ConfigError(
            f"{', '.join(stale)}: made with other settings, or it is not known with which; delete "
            "or move what is named here, and it is made anew"
        )
    for folder, note in notes.items():
        if not folder.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(parts[folder])


def _people(config: Config) -> DeepFashion:
    data = config.data
    if not Path(data.root).exists():
        render_dataset(Path(data.root), **data.rendered.model_dump(), seed=config.seed)
    return DeepFashion(data.root, data.size)


def _autoencoder(config: Config, data: DeepFashion) -> AutoencoderKL:
    folder = _work(config) / "vae"
    if not folder.exists():
        names = data.pictures("train")
        vae = load_vae(config.vae, config.data.size, config.seed)
        key = vae_key(config.vae, vae, data, names, config.seed)
        with resumable_dir(folder, key, scratch=STATE) as work:
            bar = tqdm(total=config.vae.steps, desc="vae")
            for progress in train_vae(
                vae,
                lambda index: data.picture(names[index]),
                len(names),
                config.vae,
                config.seed,
                work,
            ):
                bar.update(progress.step - bar.n)
                if progress.step % 50 == 0:
                    bar.write(f"{progress.step} {progress.losses}")
    return AutoencoderKL.from_pretrained(folder).eval()


def pretrain(config_path: str, out: Path) -> None:
    """Render, train the autoencoder, cache, train the one of `runs`; `out` gets both in half."""
    [run] = load_config(config_path).runs
    config = load_config(config_path, run)
    check_parts(parts_of(config, run))
    out.mkdir(parents=True, exist_ok=True)
    data = _people(config)
    vae = _autoencoder(config, data)
    features, trained = _work(config) / "features", _work(config) / run
    if not features.exists():
        encoders = Encoders.load(vae, config.features)
        names = [*data.pictures("train"), *data.pictures("test")]  # the latter to be watched only
        cache_features(features, names, data, encoders, config.features)
    if not trained.exists():
        train_run(config, features, trained, print)
    pipe = XMDPTPipeline(
        vae,
        XMDPTTransformer2DModel.from_pretrained(trained / "main"),
        make_scheduler(),
        config.features.source_encoder,
        config.features.pose_encoder,
        config.features.imagenet_normalization,
        config.features.precision,
    )
    start = _start(config)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        pipe.to(dtype=torch.float16).save_pretrained(folder)
        for part in Path(folder).iterdir():  # beside the model card, which stays
            if part.is_dir():
                shutil.rmtree(out / part.name, ignore_errors=True)
            os.replace(part, out / part.name)
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

"""Load a finished run's pipeline, and draw its test pairs with it, alone or in shards."""

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.utils.constants import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from PIL import Image
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, SampleConfig
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name, spread
from xmdpt.extensions.context import differences
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import scheduler_for
from xmdpt.support.files import atomic_path, code_key, file_digest, fingerprint, resumable_dir
from xmdpt.support.hub import reason
from xmdpt.support.precision import autocast
from xmdpt.support.progress import told
from xmdpt.support.random import keyed_generator
from xmdpt.support.shards import NOTES, Shard, note_done, pieces_left, shared_dir

MODELS, SAMPLES = Path("models"), Path("data/samples")
CODE = (
    *("model.py", "diffusion.py", "flow.py", "presets.py", "pipeline.py", "extensions/*.py"),
    *("features/encoders.py", "features/cache.py", "data/images.py", "data/keypoints.py"),
    *("data/stores.py", "photos/poses.py", "photos/framing.py", "support/pictures.py"),
    *("support/random.py", "weights/runs.py"),
)
"""The code that pictures of a run depend on: unfinished work of other code is not gone on with."""
THREADS = 8
"""Photos that are read, and pictures that are written, at a time."""
Pair = tuple[str, str]
Drawn = dict[str, list[Pair]]
"""Checkpoint -> the test pairs, (source, target), drawn from it."""


def load_run(
    config: Config,
    run: str,
    checkpoint: str,
    models: str | Path = "models",
    vae: str | Path | None = None,
) -> XMDPTPipeline:
    """Load the pipeline of a run's checkpoint, onto a GPU if there is one.

    All runs share the VAE in `vae`, by default `models`/vae. Raises ConfigError if the run has not
    been trained yet, or with other settings of the model.
    """
    vae, features = Path(models) / "vae" if vae is None else Path(vae), config.features
    if checkpoint not in config.train.checkpoints:
        has = ", ".join(config.train.checkpoints)
        raise ConfigError(f"{run}: has no checkpoint {checkpoint!r} in params.yaml, only {has}")
    trained = Path(models) / run / checkpoint
    _require(vae, "vae")
    _require(trained, f"train@{run}")
    model = _read(XMDPTTransformer2DModel, trained, f"train@{run}")
    if differ := differences(config.model, model):
        raise ConfigError(
            f"{trained}: trained with another {', '.join(differ)} than params.yaml has now; "
            f"change that back, or train again with `dvc repro train@{run}`"
        )
    pipeline = XMDPTPipeline(
        _read(AutoencoderKL, vae, "vae"),
        model,
        scheduler_for(config.train.objective),
        features.source_encoder,
        features.pose_encoder,
        features.imagenet_normalization,
        features.precision,
    )
    _hide_bar(pipeline)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def _require(folder: Path, stage: str) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: missing; `dvc repro {stage}` makes it")


def _read(network: Any, folder: Path, stage: str) -> Any:
    """Load a network of diffusers; raises ConfigError for files that are not whole."""
    try:
        return network.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except Exception as error:  # JSON, safetensors, shapes: each has its own errors
        raise ConfigError(
            f"{folder}: holds no readable weights ({reason(error)}); `dvc checkout {folder}` "
            f"brings them back, `dvc repro --force --single-item {stage}` makes them again"
        ) from None


def _hide_bar(pipeline: XMDPTPipeline) -> None:
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]  # untyped in diffusers


def _draw(
    pipeline: XMDPTPipeline,
    data: DeepFashion,
    batch: Sequence[Pair],
    folder: Path,
    config: SampleConfig,
    seed: int,
) -> list[Path]:
    """Draw one batch of pairs, and return the files."""
    with ThreadPoolExecutor(THREADS) as pool:
        sources = [*pool.map(data.picture, [source for source, _ in batch])]
        poses = [*pool.map(data.skeleton, [target for _, target in batch])]
    with autocast(pipeline.device, config.precision):
        made = pipeline(
            source=sources,
            pose=poses,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            guidance_power=config.guidance_power,
            generator=[keyed_generator(seed, "sample", *pair) for pair in batch],
        )
    assert isinstance(made, ImagePipelineOutput)
    paths = [folder / result_name(*pair) for pair in batch]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(_write, made.images, paths):
            pass
    return paths


def _write(image: Image.Image, path: Path) -> None:
    with atomic_path(path) as partial:
        image.save(partial)


def _is_whole(path: Path) -> bool:
    """Whether a picture is there as it was written; one whose checksums do not fit is named."""
    if not path.exists():
        return False
    try:
        with Image.open(path) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError):
        print(f"{path}: damaged since it was written; made again", file=sys.stderr)
        return False
    return True


def sample_pairs(
    pipeline: XMDPTPipeline,
    data: DeepFashion,
    pairs: Sequence[Pair],
    folder: Path,
    config: SampleConfig,
    seed: int,
    progress: Callable[[Iterable[int]], Iterable[int]] = tqdm,
) -> None:
    """Draw each pair's source in its target's pose, as `folder`/<source>_2_<target>_vis.png.

    The noise of a picture depends on the seed and its pair. Finished batches are kept, so an
    interrupted call resumes; it divides pairs into the same batches, since rounding depends on
    them. What drew the pictures in `folder` is not looked at: give each pipeline, setting and
    seed a folder of its own, or wrap the call in `xmdpt.support.files.resumable_dir` with a key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _hide_bar(pipeline)
    for start in progress(range(0, len(pairs), config.batch_size)):
        batch = pairs[start : start + config.batch_size]
        if not all(_is_whole(folder / result_name(*pair)) for pair in batch):
            _draw(pipeline, data, batch, folder, config, seed)


def _key(config: Config, run: str, data: DeepFashion, drawn: Drawn) -> str:
    """A key for all that the pictures of a run depend on, the code included."""
    encoders = config.features.model_dump(
        include={"source_encoder", "pose_encoder", "imagenet_normalization", "precision"}
    )
    folders = [MODELS / "vae", *(MODELS / run / name for name in drawn)]
    networks = [
        file_digest(path / name)
        for path in folders
        for name in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME)
    ]
    used = {name for pairs in drawn.values() for pair in pairs for name in pair}
    given = {name: data.digest(name) for name in sorted(used)}
    settings = (config.sample.model_dump(), encoders, config.seed)
    return fingerprint(*settings, drawn, networks, given, code_key(*CODE))


def _draw_missing(
    config: Config, run: str, data: DeepFashion, drawn: Drawn, work: Path, shard: Shard | None
) -> None:
    """Draw the batches of all checkpoints that are not finished in `work`."""
    size = config.sample.batch_size
    pieces = [
        (checkpoint, pairs[start : start + size])
        for checkpoint, pairs in drawn.items()
        for start in range(0, len(pairs), size)
    ]
    loaded: dict[str, XMDPTPipeline] = {}
    left = [*pieces_left(work, pieces, shard).items()]
    for number, (checkpoint, batch) in told(left, f"{run}: batches"):
        if checkpoint not in loaded:
            loaded = {checkpoint: load_run(config, run, checkpoint)}  # one at a time in memory
        files = _draw(
            loaded[checkpoint], data, batch, work / checkpoint, config.sample, config.seed
        )
        note_done(work, number, files)


def draw_run(config: Config, run: str, data: DeepFashion, shard: Shard | None = None) -> Drawn:
    """Draw the test pairs of a run's checkpoints, into a folder each below `SAMPLES`/`run`.

    Returns the pairs (source, target) of each. An interrupted call resumes with the missing
    batches. With `shard` this share alone is drawn, and the folder is left to the call without one.
    Raises ConfigError as `load_run` does.
    """
    drawn = {
        str(name): spread(data.pairs("test"), count)
        for name, count in config.sample.checkpoints.items()
    }
    _require(MODELS / "vae", "vae")
    for checkpoint in drawn:
        _require(MODELS / run / checkpoint, f"train@{run}")
    key = _key(config, run, data, drawn)
    if shard is not None:
        with shared_dir(SAMPLES / run, key, shard) as work:
            _draw_missing(config, run, data, drawn, work, shard)
        return drawn
    with resumable_dir(SAMPLES / run, key, keep=True, scratch=NOTES) as work:
        _draw_missing(config, run, data, drawn, work, None)
    return drawn

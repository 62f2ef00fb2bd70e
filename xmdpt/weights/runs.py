"""A finished run's pipeline, and all test pairs: resumable, noise keyed by the pair."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, SampleConfig
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.diffusion import make_scheduler
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import atomic_path
from xmdpt.support.precision import autocast
from xmdpt.support.random import keyed_generator


def load_run(
    config: Config, run: str, checkpoint: str, models: str | Path = "models"
) -> XMDPTPipeline:
    """The pipeline of a run's checkpoint, on a GPU where there is one; all runs share a VAE.

    Raises ConfigError where it has not been trained yet, or with a model of other settings.
    """
    folder, features = Path(models), config.features
    if checkpoint not in config.train.checkpoints:
        has = ", ".join(config.train.checkpoints)
        raise ConfigError(f"{run}: has no checkpoint {checkpoint!r} in params.yaml, but {has}")
    for part, stage in ((folder / "vae", "vae"), (folder / run / checkpoint, f"train@{run}")):
        if not part.is_dir():
            raise ConfigError(f"{part}: not there; `dvc repro {stage}` makes it")
    model = XMDPTTransformer2DModel.from_pretrained(
        folder / run / checkpoint, local_files_only=True
    )
    if differ := [name for name, value in config.model if model.config[name] != value]:
        raise ConfigError(
            f"{folder / run / checkpoint}: trained with another {', '.join(differ)} than "
            f"params.yaml has now; put that back, or `dvc repro train@{run}` trains it anew"
        )
    pipeline = XMDPTPipeline(
        AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True),
        model,
        make_scheduler(),
        features.source_encoder,
        features.pose_encoder,
        features.imagenet_normalization,
        features.precision,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def sample_pairs(
    pipeline: XMDPTPipeline,
    data: DeepFashion,
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    config: SampleConfig,
    seed: int,
    progress: Callable[[Iterable], Iterable] = tqdm,
) -> None:
    """Draw each pair's source in its target's pose, as `folder`/<source>_2_<target>_vis.png.

    Batches already there are kept, so an interrupted call resumes; the batches stay the same,
    because rounding depends on them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pipeline.set_progress_bar_config(disable=True)
    for start in progress(range(0, len(pairs), config.batch_size)):
        batch = pairs[start : start + config.batch_size]
        if all((folder / result_name(*pair)).exists() for pair in batch):
            continue
        with autocast(pipeline.device, config.precision):
            images = pipeline(
                source=[data.picture(source) for source, _ in batch],
                pose=[data.skeleton(target) for _, target in batch],
                num_inference_steps=config.num_inference_steps,
                guidance_scale=config.guidance_scale,
                guidance_power=config.guidance_power,
                generator=[keyed_generator(seed, "sample", *pair) for pair in batch],
            ).images
        for pair, image in zip(batch, images, strict=True):
            with atomic_path(folder / result_name(*pair)) as partial:
                image.save(partial)

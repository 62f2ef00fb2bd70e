"""Load a finished run's pipeline, and draw all test pairs with it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from tqdm import tqdm

from xmdpt.config import Config, ConfigError, SampleConfig
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pipeline import XMDPTPipeline, scheduler_for
from xmdpt.support.files import atomic_path
from xmdpt.support.hub import reason
from xmdpt.support.precision import autocast
from xmdpt.support.random import keyed_generator


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
    for part, stage in ((vae, "vae"), (trained, f"train@{run}")):
        if not part.is_dir():
            raise ConfigError(f"{part}: missing; `dvc repro {stage}` makes it")
    model = _read(XMDPTTransformer2DModel, trained, f"train@{run}")
    if differ := [name for name, value in config.model if model.config[name] != value]:
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


def sample_pairs(
    pipeline: XMDPTPipeline,
    data: DeepFashion,
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    config: SampleConfig,
    seed: int,
    progress: Callable[[Iterable[int]], Iterable[int]] = tqdm,
) -> None:
    """Draw each pair's source in its target's pose, as `folder`/<source>_2_<target>_vis.png.

    The noise of a picture depends on the seed and its pair. Finished batches are kept, so an
    interrupted call resumes; it divides pairs into the same batches, since rounding depends on
    them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _hide_bar(pipeline)
    for start in progress(range(0, len(pairs), config.batch_size)):
        batch = pairs[start : start + config.batch_size]
        if all((folder / result_name(*pair)).exists() for pair in batch):
            continue
        with autocast(pipeline.device, config.precision):
            made = pipeline(
                source=[data.picture(source) for source, _ in batch],
                pose=[data.skeleton(target) for _, target in batch],
                num_inference_steps=config.num_inference_steps,
                guidance_scale=config.guidance_scale,
                guidance_power=config.guidance_power,
                generator=[keyed_generator(seed, "sample", *pair) for pair in batch],
            )
        assert isinstance(made, ImagePipelineOutput)
        for pair, image in zip(batch, made.images, strict=True):
            with atomic_path(folder / result_name(*pair)) as partial:
                image.save(partial)

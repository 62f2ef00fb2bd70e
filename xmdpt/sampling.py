"""Sampling of all test pairs, with noise keyed by the pair: resumable, whatever the batches."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from xmdpt.config import SampleConfig
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.files import atomic_path
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.precision import autocast
from xmdpt.random import keyed_generator


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

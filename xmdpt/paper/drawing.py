"""Pictures for the paper's figures that are not test pairs, drawn by a finished run."""

from collections.abc import Sequence

import numpy as np

from xmdpt.config import Config
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.precision import autocast
from xmdpt.support.random import keyed_generator

Case = tuple[np.ndarray, np.ndarray]
"""A source photo and a skeleton picture, uint8 (H, W, 3) each."""
Key = tuple[str | int, ...]


def draw_cases(
    pipeline: XMDPTPipeline, cases: Sequence[Case], config: Config, keys: Sequence[Key]
) -> np.ndarray:
    """Draw each case with the settings of `sample`; returns uint8 (N, S, S, 3).

    The noise follows from the seed and the case's key: cases with one key differ only in inputs.
    """
    settings, drawn = config.sample, []
    for start in range(0, len(cases), settings.batch_size):
        batch = cases[start : start + settings.batch_size]
        batch_keys = keys[start : start + settings.batch_size]
        with autocast(pipeline.device, settings.precision):
            images = pipeline(
                source=[source for source, _ in batch],
                pose=[pose for _, pose in batch],
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
                guidance_power=settings.guidance_power,
                generator=[keyed_generator(config.seed, *key) for key in batch_keys],
            )[0]
        drawn += [np.array(image) for image in images]
    return np.stack(drawn)

"""Pictures that the paper's figures ask for beyond the test pairs, drawn by a finished run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xmdpt.config import Config, load_config
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.precision import autocast
from xmdpt.support.random import keyed_generator

Case = tuple[np.ndarray, np.ndarray]
"""A source photo and a skeleton, uint8 (H, W, 3) each."""


def leading_run(params: str | Path) -> tuple[str, str, Config]:
    """The first run of the settings in `params`, X-MDPT-B in most profiles.

    Returns its name, its last checkpoint that pictures are drawn from, and its settings.
    """
    run = load_config(params).runs[0]
    config = load_config(params, run)
    return run, config.last_checkpoint, config


def draw_cases(
    pipeline: XMDPTPipeline, cases: Sequence[Case], config: Config, keys: Sequence[tuple]
) -> np.ndarray:
    """Draw each case with the settings of `sample`, noise keyed by the seed and its key.

    Equal keys share their noise, so that two cases differ by what they were given alone. Returns
    uint8 (N, S, S, 3).
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
            ).images
        drawn += [np.array(image) for image in images]
    return np.stack(drawn)

"""Drawing from condition vectors that are made once, with any weight, steps or solver."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, SchedulerMixin, UniPCMultistepScheduler
from torch import Tensor

from xmdpt.diffusion import make_scheduler
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.pictures import to_uint8
from xmdpt.support.random import keyed_generator

SOLVERS: Mapping[str, Callable[[], SchedulerMixin]] = {
    "DDIM": make_scheduler,
    "DPM-Solver++": lambda: DPMSolverMultistepScheduler.from_config(make_scheduler().config),
    "UniPC": lambda: UniPCMultistepScheduler.from_config(make_scheduler().config),
}
"""The authors' sampler, and two of second order that diffusers brings.

All begin at 999. Of few steps DDIM takes its last at 0, the others theirs at 1000 / steps, and go
from there to no noise: lists differ as well as orders.
"""


def start_noise(pipe: XMDPTPipeline, count: int, seed: int = 0) -> Tensor:
    """Noise (count, C, H, W) to start from; the n-th is the same whatever `count` is."""
    config = pipe.transformer.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    noise = [
        torch.randn(shape, generator=keyed_generator(seed, "start", row)) for row in range(count)
    ]
    return torch.stack(noise).to(pipe.device)


def draw_latents(
    pipe: XMDPTPipeline,
    condition: Tensor,
    steps: int,
    scale: float = 2.0,
    power: float = 0.01,
    seed: int = 0,
    solver: str = "DDIM",
) -> Tensor:
    """Latents (B, C, H, W) of conditions (B, D); equal seeds share their noise.

    `solver` is one of SOLVERS; the pipeline's own scheduler stays as it is.
    """
    own = pipe.scheduler
    pipe.scheduler = SOLVERS[solver]()
    try:
        noise = start_noise(pipe, len(condition), seed)
        return pipe.denoise(condition, noise, steps, scale, power)
    finally:
        pipe.scheduler = own


def show(pipe: XMDPTPipeline, latents: Tensor) -> np.ndarray:
    """Scaled latents (B, C, H, W) as pictures, uint8 (B, S, S, 3)."""
    return to_uint8(pipe.decode(latents))


def forward_passes(steps: int, scale: float) -> int:
    """Passes through the network for a picture: two a step, one where the scale is 1 (Table 3)."""
    return steps * (1 if scale == 1 else 2)


def distance(latents: Tensor, reference: Tensor) -> float:
    """Root mean square of the difference, as a share of the reference's own."""
    return ((latents - reference).square().mean() / reference.square().mean()).sqrt().item()

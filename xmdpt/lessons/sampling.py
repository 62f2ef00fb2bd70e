"""Drawing from precomputed condition vectors, with any guidance, number of steps and solver."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from xmdpt.diffusion import make_scheduler
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import planned, presets_of
from xmdpt.support.pictures import to_uint8
from xmdpt.support.random import keyed_generator

SOLVERS: Mapping[str, Callable[[], SchedulerMixin]] = {
    "DDIM": make_scheduler,
    "DPM-Solver++": lambda: DPMSolverMultistepScheduler.from_config(make_scheduler().config),
    "DPM-Solver++, even in log SNR": lambda: DPMSolverMultistepScheduler.from_config(
        make_scheduler().config, use_lu_lambdas=True
    ),
    "UniPC": lambda: UniPCMultistepScheduler.from_config(make_scheduler().config),
}
"""The authors' sampler, and two second-order solvers of diffusers, one at two lists of timesteps.

All begin at timestep 999. DDIM's last step is at timestep 0; the others' is at 1000 / steps, or
near 0 where steps are even in log SNR, and goes straight to zero noise. So the timesteps differ as
well as the order.
"""


def start_noise(pipe: XMDPTPipeline, count: int, seed: int = 0) -> Tensor:
    """Initial noise (count, C, H, W); the n-th does not depend on `count`."""
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
    solver: str | None = None,
) -> Tensor:
    """Latents (B, C, H, W) drawn from conditions (B, D); the seed determines the noise.

    `solver` is one of SOLVERS, for models that predict noise; None is the pipeline's own, which it
    keeps in any case. Raises ValueError for a solver of noise and a model that predicts a velocity.
    """
    own = pipe.scheduler
    if solver is not None:
        if own.config.get("prediction_type", "epsilon") != "epsilon":
            raise ValueError(
                f"solver '{solver}' is for weights that predict noise, and these predict a "
                "velocity (`objective: flow`): leave it out, or name other weights"
            )
        pipe.scheduler = SOLVERS[solver]()
    try:
        noise = start_noise(pipe, len(condition), seed)
        return pipe.denoise(condition, noise, steps, scale, power)
    finally:
        pipe.scheduler = own


def draw_by_presets(
    pipe: XMDPTPipeline, condition: Tensor, scale: float = 2.0, power: float = 0.01, seed: int = 0
) -> dict[str, tuple[int, Tensor]]:
    """Forward passes per picture and latents (B, C, H, W), by preset beyond `exact`.

    Of those that the pipeline has; `turbo` draws with the scale that it has learned alone.
    """
    drawn: dict[str, tuple[int, Tensor]] = {}
    for preset in presets_of(pipe.scheduler, pipe.learned, scale)[1:]:
        noise = start_noise(pipe, len(condition), seed)
        with planned(pipe, preset, None, scale) as chosen:
            own = scale if chosen.guided else 1.0
            made = pipe.denoise(
                condition, noise, chosen.steps, own, power, timesteps=chosen.timesteps
            )
        drawn[preset] = (chosen.forwards, made)
    return drawn


def show(pipe: XMDPTPipeline, latents: Tensor) -> np.ndarray:
    """Scaled latents (B, C, H, W) as pictures, uint8 (B, S, S, 3)."""
    return to_uint8(pipe.decode(latents))


def forward_passes(steps: int, scale: float) -> int:
    """Forward passes per picture: two a step, or one if the scale is 1 (Table 3)."""
    return steps * (1 if scale == 1 else 2)


def distance(latents: Tensor, reference: Tensor) -> float:
    """Root mean square of the difference, relative to that of the reference."""
    return ((latents - reference).square().mean() / reference.square().mean()).sqrt().item()

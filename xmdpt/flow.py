"""Beyond the paper: flow matching, in which the network predicts a velocity instead of the noise.

The path from a latent to noise is a straight line, x_s = (1 - s) x_0 + s noise with s from 0 to 1
(Lipman et al., 2023; Ma et al., SiT, 2024). The network's first C channels predict its direction,
noise - x_0; the other C, the variance of the paper, are not used. Timesteps are 1000 s.
"""

from collections.abc import Callable

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

NUM_TIMESTEPS = 1000


def draw_flow_timesteps(count: int, generator: torch.Generator) -> Tensor:
    """Return timesteps (count,), float32 between 0 and 1000, whose logits are standard normal.

    More of them than under a uniform law lie in the middle, where the direction is hardest to tell
    (Esser et al., Stable Diffusion 3, 2024, Section 3.1).
    """
    return NUM_TIMESTEPS * torch.randn(count, generator=generator).sigmoid()


def flow_losses(
    model: Callable[[Tensor, Tensor], Tensor], x_start: Tensor, t: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """Return the squared error of the velocity as `mse` and as `loss`, each (B,).

    `model(x_t, t)` returns (B, 2C, H, W), of which the first C channels count; x_start and noise
    (B, C, H, W), t (B,) from 0 to 1000.
    """
    share = (t / NUM_TIMESTEPS).to(x_start.dtype).view(-1, *[1] * (x_start.ndim - 1))
    velocity = model(torch.lerp(x_start, noise, share), t).chunk(2, dim=1)[0].float()
    mse = (velocity - (noise - x_start)).square().flatten(1).mean(1)
    return {"mse": mse, "loss": mse}


def make_flow_scheduler() -> DPMSolverMultistepScheduler:
    """Return the sampler, DPM-Solver++ of second order: in 20 steps nearer than Euler's method."""
    scheduler: DPMSolverMultistepScheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=NUM_TIMESTEPS,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        solver_order=2,
    )
    return scheduler

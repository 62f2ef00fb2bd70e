"""The diffusion process: schedule, training losses, guidance weight, DDIM (Sections 3.1, 3.4).

It has T = 1000 steps and linear betas from 1e-4 to 2e-2.
"""

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler, DDIMSchedulerOutput
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

NUM_TIMESTEPS = 1000
BETA_START, BETA_END = 1e-4, 2e-2
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": NUM_TIMESTEPS,
    "beta_start": BETA_START,
    "beta_end": BETA_END,
    "beta_schedule": "linear",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
"""A sampler's settings that say how noise was added in training."""
FLOW: dict[str, Any] = {"num_train_timesteps": NUM_TIMESTEPS, "use_flow_sigmas": True}
"""The same of a flow."""

_BETAS = torch.linspace(BETA_START, BETA_END, NUM_TIMESTEPS, dtype=torch.float64)
_ALPHA_BARS = torch.cumprod(1 - _BETAS, 0)
_PREVIOUS = torch.cat([torch.ones(1, dtype=torch.float64), _ALPHA_BARS[:-1]])
_POSTERIOR_VARIANCE = _BETAS * (1 - _PREVIOUS) / (1 - _ALPHA_BARS)
# The posterior variance of the first step is 0; its logarithm uses that of the second step.
_POSTERIOR_LOG_VARIANCE = torch.cat([_POSTERIOR_VARIANCE[1:2], _POSTERIOR_VARIANCE[1:]]).log()
_SCHEDULE = {
    "alpha_bar": _ALPHA_BARS,
    "sqrt_alpha_bar": _ALPHA_BARS.sqrt(),
    "sqrt_one_minus_alpha_bar": (1 - _ALPHA_BARS).sqrt(),
    "snr": _ALPHA_BARS / (1 - _ALPHA_BARS),
    "log_beta": _BETAS.log(),
    "posterior_log_variance": _POSTERIOR_LOG_VARIANCE,
    "posterior_x0": _BETAS * _PREVIOUS.sqrt() / (1 - _ALPHA_BARS),
    "posterior_xt": (1 - _PREVIOUS) * (1 - _BETAS).sqrt() / (1 - _ALPHA_BARS),
}


@cache
def _schedule_on(device: torch.device) -> dict[str, Tensor]:
    """The schedule's tables on a device, copied once, since each copy from the CPU stalls a GPU."""
    with torch.inference_mode(False):
        return {name: table.to(device) for name, table in _SCHEDULE.items()}


def _at(name: str, t: Tensor, like: Tensor) -> Tensor:
    """Entries (B, 1, 1, 1) of a schedule table at timesteps t (B,), in the dtype of `like`."""
    table = _schedule_on(like.device)[name]
    return table[t].to(like.dtype).view(-1, *[1] * (like.ndim - 1))


def add_noise(x_start: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, (B, C, H, W)."""
    return (
        _at("sqrt_alpha_bar", t, x_start) * x_start
        + _at("sqrt_one_minus_alpha_bar", t, x_start) * noise
    )


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def _normal_cdf(x: Tensor) -> Tensor:
    """The tanh approximation with which the field computes likelihoods."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _discretized_log_likelihood(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-probability of x, seen as one of 256 levels in [-1, 1], under a Gaussian."""
    inverse_std = torch.exp(-log_std)
    upper = _normal_cdf(inverse_std * (x - mean + 1 / 255))
    lower = _normal_cdf(inverse_std * (x - mean - 1 / 255))
    probability = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return probability.clamp(min=1e-12).log()


def variational_bound(
    eps: Tensor, variance: Tensor, x_start: Tensor, x_t: Tensor, t: Tensor
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) in bits per dimension, (B,); at t = 0 the NLL.

    `variance` in [-1, 1] interpolates log-variances between the posterior's and beta (learned
    range); all tensors (B, C, H, W).
    """
    # In float32 the likelihood at t = 0, a difference of neighbouring levels, loses five digits.
    eps, variance, x_start, x_t = (x.double() for x in (eps, variance, x_start, x_t))
    minimum = _at("posterior_log_variance", t, x_t)
    maximum = _at("log_beta", t, x_t)
    share = (variance + 1) / 2
    log_variance = share * maximum + (1 - share) * minimum

    alpha_bar = _at("alpha_bar", t, x_t)
    predicted_start = (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()
    to_x0 = _at("posterior_x0", t, x_t)
    mean = to_x0 * predicted_start + _at("posterior_xt", t, x_t) * x_t
    gap = to_x0 * (x_start - predicted_start)

    kl = 0.5 * (
        -1
        + log_variance
        - minimum
        + torch.exp(minimum - log_variance)
        + gap**2 * torch.exp(-log_variance)
    )
    nll = -_discretized_log_likelihood(x_start, mean, 0.5 * log_variance)
    return (torch.where(t == 0, _mean(nll), _mean(kl)) / math.log(2)).float()


def training_losses(
    model: Callable[[Tensor, Tensor], Tensor], x_start: Tensor, t: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """Loss terms of one pass (Eq. 1): `mse` and `vb` (bits) and their sum `loss`, each (B,).

    `model(x_t, t)` returns (B, 2C, H, W), noise then variance; x_start and noise (B, C, H, W),
    t (B,) in 0..999. The bound trains only the variance: the noise enters it detached.
    """
    x_t = add_noise(x_start, noise, t)
    eps, variance = model(x_t, t).float().chunk(2, dim=1)
    mse = _mean((noise - eps) ** 2)
    vb = variational_bound(eps.detach(), variance, x_start, x_t, t)
    return {"mse": mse, "vb": vb, "loss": mse + vb}


def min_snr_weight(t: Tensor, gamma: float) -> Tensor:
    """Min-SNR weight min(SNR, gamma) / SNR at timesteps t (B,): low where little noise is left."""
    snr = _schedule_on(t.device)["snr"][t].float()
    return snr.clamp(max=gamma) / snr


def guidance_weight(t: Tensor, scale: float, power: float) -> Tensor:
    """w(t) of the power-cosine schedule (Eq. 6): 1 at t = T, `scale` at t = 0; shaped like t."""
    t = torch.as_tensor(t)
    t = t if t.is_floating_point() else t.float()
    return 1 + (scale - 1) * (1 - torch.cos(math.pi * (1 - t / NUM_TIMESTEPS) ** power)) / 2


def guide(conditional: Tensor, unconditional: Tensor, weight: Tensor | float) -> Tensor:
    """Guided output (Eq. 6), (B, 2C, H, W); as in the authors' code the variance is guided too."""
    return unconditional + weight * (conditional - unconditional)


# To load a saved pipeline, diffusers looks for the name `SchedulerMixin` in this module.
class XMDPTScheduler(DDIMScheduler, SchedulerMixin):  # type: ignore[misc]  # two config_name
    """DDIM that steps to the next timestep of its own list, like the authors' sampler.

    `DDIMScheduler` steps by T // num_inference_steps, which leaves the list if the timesteps are a
    rounded linspace from 0 to T - 1.
    """

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Choose the timesteps as `DDIMScheduler` does."""
        super().set_timesteps(num_inference_steps, device or "cpu")
        self._list = self.timesteps.tolist()  # searching on a GPU would stall it in `step`

    def step(  # type: ignore[override]  # without the options that it does not support
        self,
        model_output: Tensor,
        timestep: int | Tensor,
        sample: Tensor,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[Tensor, Tensor]:
        """x at the next lower timestep of the list, given the noise predicted at `timestep`.

        model_output and sample (B, C, H, W); eta 0 is deterministic, eta 1 has DDPM's variance.
        """
        if self.num_inference_steps is None:
            raise ValueError("call set_timesteps before step")
        clips = self.config["clip_sample"] or self.config["thresholding"]
        if clips or self.config["prediction_type"] != "epsilon":
            raise ValueError(
                "this sampler needs predicted noise, without clip_sample and thresholding, as "
                "make_scheduler() sets it"
            )
        now = int(timestep)
        lower = [other for other in self._list if other < now]
        alpha_bar = self.alphas_cumprod[now]
        previous = self.alphas_cumprod[max(lower)] if lower else torch.tensor(1.0)
        x_start = (sample - (1 - alpha_bar).sqrt() * model_output) / alpha_bar.sqrt()
        variance = (1 - previous) / (1 - alpha_bar) * (1 - alpha_bar / previous)
        std = eta * variance.sqrt()
        stepped = previous.sqrt() * x_start + (1 - previous - std**2).sqrt() * model_output
        if eta > 0:
            noise = randn_tensor(
                sample.shape, generator=generator, device=sample.device, dtype=sample.dtype
            )
            stepped = stepped + std * noise
        if not return_dict:
            return stepped, x_start
        return DDIMSchedulerOutput(prev_sample=stepped, pred_original_sample=x_start)


def make_scheduler() -> XMDPTScheduler:
    """The authors' sampler: DDIM over rounded linspace(0, 999, steps), ending at alpha-bar 1."""
    scheduler: XMDPTScheduler = XMDPTScheduler(
        num_train_timesteps=NUM_TIMESTEPS,
        beta_start=BETA_START,
        beta_end=BETA_END,
        beta_schedule="linear",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="linspace",
    )
    return scheduler


def step_arguments(scheduler: Any, **given: Any) -> dict[str, Any]:
    """Those of `given` that a step of the scheduler takes."""
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in given.items() if name in known}


def learns_variance(scheduler: Any) -> bool:
    """Whether a scheduler takes the learned variance; ValueError if it would misuse it."""
    kind = scheduler.config.get("variance_type") or ""
    asks = "variance_type" in inspect.signature(type(scheduler).__init__).parameters
    if not (asks and kind.startswith("learned")):
        return False
    name = type(scheduler).__name__
    if not isinstance(scheduler, DDPMScheduler):
        raise ValueError(
            f"{name} cannot use this model's learned variance: create it by "
            "from_config(..., variance_type=None)"
        )
    if kind != "learned_range":
        raise ValueError(
            f"{name}: variance_type is {kind}, but the network predicts a place between two "
            "variances: create it by from_config(..., variance_type='learned_range')"
        )
    return True


def check_scheduler(scheduler: Any) -> None:
    """Raise ValueError where a sampler takes the network's output for something else than it is.

    It predicts noise that was added by the authors' schedule, or the velocity of a flow.
    """
    settings, name = scheduler.config, type(scheduler).__name__
    kind = settings.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "flow_prediction"):
        raise ValueError(
            f"{name}: prediction_type is {kind}, but the network predicts noise: create it by "
            "from_config(pipeline.scheduler.config)"
        )
    known = inspect.signature(type(scheduler).__init__).parameters  # a config keeps others too
    for setting, value in (SCHEDULE if kind == "epsilon" else FLOW).items():
        if value and setting not in known:
            raise ValueError(
                f"{name}: has no {setting}, so it is a sampler of other networks; "
                "docs/use/pipeline.md names some of this one"
            )
        if (found := settings.get(setting, value)) != value:
            raise ValueError(
                f"{name}: {setting} is {found}, but the network was trained with {value}: create "
                "it by from_config(pipeline.scheduler.config)"
            )

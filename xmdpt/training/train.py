"""Training of X-MDPT (Section 3.3, Eq. 5): exact to resume, keyed by (seed, step)."""

import math
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from xmdpt.config import ConfigError, TrainConfig
from xmdpt.diffusion import NUM_TIMESTEPS, min_snr_weight, training_losses
from xmdpt.features.cache import PairBatches
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.files import atomic_path
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import autocast, resolve
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.device import accelerator, adamw
from xmdpt.training.ema import EMA
from xmdpt.training.errors import TrainingError

Batch = dict[str, Tensor]

READERS = 4
"""Batches that are drawn at once while a GPU trains on the one before."""


class TrainingModule(nn.Module):
    """One step's whole computation, from a batch to its losses."""

    def __init__(self, model: XMDPTTransformer2DModel, condition_dropout: float):
        super().__init__()
        self.model = model
        self.condition_dropout = condition_dropout

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Per-sample losses (B,) of Eq. 5: `mse`, `vb`, `loss`, and with MIPNet `masked_*` too.

        The batch holds target_latent and source_latent (B, C, H, W), pose_tokens, source_tokens,
        t (B,), noise, mask_noise (B, N) and drop (2, B), uniform numbers for the guidance dropout
        of the full and of the masked pass.
        """
        condition = self.model.encode_condition(
            batch["pose_tokens"].float(),  # they come as they are stored
            batch["source_tokens"].float(),
            batch["source_latent"],
        )
        keep = (batch["drop"] >= self.condition_dropout).to(condition.dtype)[..., None]

        def full_pass(x_t: Tensor, t: Tensor) -> Tensor:
            return self.model(x_t, t, condition * keep[0]).sample

        def masked_pass(x_t: Tensor, t: Tensor) -> Tensor:
            return self.model(
                x_t, t, condition * keep[1], batch["source_latent"], batch["mask_noise"]
            ).sample

        target = (batch["target_latent"], batch["t"], batch["noise"])
        losses = training_losses(full_pass, *target)
        if self.model.mipnet is not None:
            masked = training_losses(masked_pass, *target)
            losses |= {f"masked_{name}": value for name, value in masked.items()}
        return losses


def draw_batch(batches: PairBatches, config: TrainConfig, num_patches: int, step: int) -> Batch:
    """All that step number `step` (from 0) trains on, from (seed, step) alone."""
    count = config.batch_size
    batch = batches.batch(step, batch_indices(batches.seed, step, count, len(batches.targets)))
    generator = keyed_generator(batches.seed, "noise", step)
    batch["t"] = torch.randint(NUM_TIMESTEPS, (count,), generator=generator)
    batch["noise"] = torch.randn(batch["target_latent"].shape, generator=generator)
    batch["mask_noise"] = torch.rand(count, num_patches, generator=generator)
    batch["drop"] = torch.rand(2, count, generator=generator)
    return batch


@dataclass
class StepReport:
    """What one step gives to look at; losses are means over the batch."""

    step: int
    losses: dict[str, float]
    grad_norm: float


class Trainer:
    """Model, EMA, optimizer and the number of finished steps; `run` goes on from there."""

    def __init__(
        self,
        model: XMDPTTransformer2DModel,
        batches: PairBatches,
        config: TrainConfig,
        source_encoder: nn.Module | None = None,
    ):
        """`source_encoder` makes the source tokens where the cache holds photos in their place."""
        self.config = config
        self.batches = batches
        self.accelerator = accelerator()
        self.precision = resolve(self.accelerator.device, config.precision)
        if source_encoder is not None:
            source_encoder = source_encoder.to(self.accelerator.device)
        self.source_encoder = source_encoder
        self.step = 0
        self.ema = EMA(model.to(self.accelerator.device), config.ema_decay)
        device, decay = self.accelerator.device, config.weight_decay
        optimizer = adamw(model.parameters(), config.learning_rate, decay, device)
        if config.gradient_checkpointing:
            model.enable_gradient_checkpointing()
        if config.compile:
            model.compile_repeated_blocks()
        module = TrainingModule(model.train(), config.condition_dropout)
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)

    @property
    def model(self) -> XMDPTTransformer2DModel:
        return self.accelerator.unwrap_model(self.module).model

    def save(self, path: Path, **about: object) -> None:
        """Write everything that resuming needs, whole or not at all, and what `about` tells."""
        state = about | {
            "step": self.step,
            "precision": self.precision,
            "settings": _settings(self.model),
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> dict[str, Any]:
        """Take up the state that `save` wrote; where the precision is `auto`, in its own.

        Returns the state. Raises ConfigError where it is none, or that of another model.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            found = state["settings"]
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError):
            raise ConfigError(f"{path}: not the state of a training, or not all of it") from None
        own = _settings(self.model)
        if differ := sorted(name for name in own if own[name] != found.get(name)):
            raise ConfigError(
                f"{path}: the state of a model with another {', '.join(differ)}; a training goes "
                "on with the model that it began with"
            )
        self.step = state["step"]
        if self.config.precision == "auto":
            self.precision = state["precision"]
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:  # as settings have it now, not as it was saved
            group["weight_decay"] = self.config.weight_decay
        return state

    def _learning_rate(self) -> float:
        """Constant but for a linear warm-up and a linear decay that ends with the run."""
        config = self.config
        rise = (self.step + 1) / config.warmup_steps if config.warmup_steps else 1.0
        fall = (config.steps - self.step) / config.decay_steps if config.decay_steps else 1.0
        return config.learning_rate * min(1.0, rise, fall)

    def _objective(self, losses: dict[str, Tensor], t: Tensor) -> Tensor:
        """What is minimised: Eq. 5, its squared errors weighed by `snr_gamma` where that is set."""
        gamma = self.config.snr_gamma
        weight = 1.0 if gamma is None else min_snr_weight(t, gamma)
        total = (weight * losses["mse"] + losses["vb"]).mean()
        if "masked_mse" in losses:
            total = total + (weight * losses["masked_mse"] + losses["masked_vb"]).mean()
        return total

    def _draw(self, step: int) -> Batch:
        batch = draw_batch(self.batches, self.config, self.model.num_patches, step)
        if self.accelerator.device.type == "cuda":
            batch = {name: value.pin_memory() for name, value in batch.items()}
        return batch

    def _train_step(self, batch: Batch) -> StepReport:
        device = self.accelerator.device
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        if self.source_encoder is not None:
            photos = to_signed(batch.pop("source_pictures"))
            batch["source_tokens"] = self.source_encoder(photos)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with autocast(device, self.precision):
            losses = self.module(batch)
        total = self._objective(losses, batch["t"])
        self.accelerator.backward(total)
        grad_norm = self._clip()
        report = self._report(total, grad_norm, losses, batch["t"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.model)
        self.step += 1
        return report

    def _clip(self) -> Tensor:
        """Clip the gradients to `grad_clip`, where that is set; their norm before."""
        parameters = self.module.parameters()
        if self.config.grad_clip is not None:
            return self.accelerator.clip_grad_norm_(parameters, self.config.grad_clip)
        return get_total_norm([p.grad for p in parameters if p.grad is not None])

    def _report(
        self, total: Tensor, grad_norm: Tensor, losses: dict[str, Tensor], t: Tensor
    ) -> StepReport:
        """The step in numbers, brought from the device at once; raises TrainingError before
        anything that is not finite reaches the weights."""
        means = {name: value.mean() for name, value in losses.items()}
        means |= _quartiles(losses["mse"], t)
        values = torch.stack(
            [value.detach().double() for value in (total, grad_norm, *means.values())]
        )
        loss, norm, *numbers = values.tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.step}: the loss is {loss}, the gradient norm {norm}; lower "
                "train.learning_rate, set train.grad_clip, or train in fp32. The last saved state "
                "stays in the hidden folder beside the run's; named as train.resume, the run goes "
                "on from it with the new settings"
            )
        named = zip(means, numbers, strict=True)
        return StepReport(self.step + 1, {k: v for k, v in named if not math.isnan(v)}, norm)

    def run(self, steps: int) -> Iterator[StepReport]:
        """Train until `steps` steps are finished, yielding a report after each."""
        ahead = range(self.step, steps)
        on_cpu = self.accelerator.device.type == "cpu"  # whose cores a reader would only take away
        for batch in map(self._draw, ahead) if on_cpu else read_ahead(self._draw, ahead):
            yield self._train_step(batch)


def _settings(model: XMDPTTransformer2DModel) -> dict[str, Any]:
    """What the model was built with; diffusers' own entries begin with an underscore."""
    return {name: value for name, value in model.config.items() if not name.startswith("_")}


def read_ahead(draw: Callable[[int], Batch], steps: Sequence[int]) -> Iterator[Batch]:
    """Yield draw(step) for each of `steps`; threads draw the next ones while one is in use."""
    with ThreadPoolExecutor(READERS) as readers:
        waiting = deque()
        for step in steps:
            waiting.append(readers.submit(draw, step))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _quartiles(mse: Tensor, t: Tensor) -> dict[str, Tensor]:
    """Mean noise error by quarter of the timesteps; NaN for one that the batch does not hold."""
    inside = (t * 4 // NUM_TIMESTEPS) == torch.arange(4, device=t.device)[:, None]
    means = (inside * mse).sum(dim=1) / inside.sum(dim=1)
    return {f"mse_q{index}": mean for index, mean in enumerate(means)}

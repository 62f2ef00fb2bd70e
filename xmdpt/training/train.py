"""Training of X-MDPT (Section 3.3, Eq. 5): exact to resume, keyed by (seed, step)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from xmdpt.config import TrainConfig
from xmdpt.data.cache import PairBatches
from xmdpt.diffusion import NUM_TIMESTEPS, min_snr_weight, training_losses
from xmdpt.files import atomic_path
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pictures import to_signed
from xmdpt.precision import autocast
from xmdpt.random import batch_indices, keyed_generator
from xmdpt.training.ema import EMA
from xmdpt.training.errors import TrainingError


class TrainingModule(nn.Module):
    """One step's whole computation, from a batch to its losses."""

    def __init__(self, model: XMDPTTransformer2DModel, condition_dropout: float):
        super().__init__()
        self.model = model
        self.condition_dropout = condition_dropout

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Per-sample losses (B,) of Eq. 5: `mse`, `vb`, `loss`, and with MIPNet `masked_*` too.

        The batch holds target_latent and source_latent (B, C, H, W), pose_tokens, source_tokens,
        t (B,), noise, mask_noise (B, N) and drop (2, B), uniform numbers for the guidance dropout
        of the full and of the masked pass.
        """
        condition = self.model.encode_condition(
            batch["pose_tokens"], batch["source_tokens"], batch["source_latent"]
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


def draw_batch(
    batches: PairBatches, config: TrainConfig, num_patches: int, step: int
) -> dict[str, Tensor]:
    """All that step number `step` (from 0) trains on, from (seed, step) alone."""
    count = config.batch_size
    batch = batches.batch(step, batch_indices(batches.seed, step, count, len(batches.pairs)))
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
        # Its own mixed precision would be fixed for the whole process: two runs may differ in it.
        # The bound is computed in float64, which Apple's GPUs lack.
        cpu = torch.backends.mps.is_available()
        self.accelerator = Accelerator(mixed_precision="no", cpu=cpu)
        if self.accelerator.num_processes > 1:
            raise TrainingError(
                f"training was started in {self.accelerator.num_processes} processes; it runs in "
                "one, on one device: start it without torchrun or accelerate launch"
            )
        if source_encoder is not None:
            source_encoder = source_encoder.to(self.accelerator.device)
        self.source_encoder = source_encoder
        self.step = 0
        self.ema = EMA(model.to(self.accelerator.device), config.ema_decay)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if config.compile:
            model.compile_repeated_blocks()
        module = TrainingModule(model.train(), config.condition_dropout)
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)

    @property
    def model(self) -> XMDPTTransformer2DModel:
        return self.accelerator.unwrap_model(self.module).model

    def save(self, path: Path) -> None:
        """Write everything that resuming needs, whole or not at all."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take up the state that `save` wrote."""
        state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])

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

    def _train_step(self) -> StepReport:
        batch = draw_batch(self.batches, self.config, self.model.num_patches, self.step)
        batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
        if self.source_encoder is not None:
            photos = to_signed(batch.pop("source_pictures"))
            batch["source_tokens"] = self.source_encoder(photos)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with autocast(self.accelerator.device, self.config.precision):
            losses = self.module(batch)
        total = self._objective(losses, batch["t"])
        self.accelerator.backward(total)
        grad_norm = self.accelerator.clip_grad_norm_(
            self.module.parameters(), self.config.grad_clip or math.inf
        ).item()
        if not (math.isfinite(total.item()) and math.isfinite(grad_norm)):
            raise TrainingError(
                f"step {self.step}: the loss is {total.item()}, the gradient norm {grad_norm}; "
                "lower train.learning_rate, set train.grad_clip, or train in fp32. "
                "The last saved state stays in the hidden folder beside the run's"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.model)
        self.step += 1
        means = {name: value.mean().item() for name, value in losses.items()}
        return StepReport(self.step, means | _quartiles(losses["mse"], batch["t"]), grad_norm)

    def run(self, steps: int) -> Iterator[StepReport]:
        """Train until `steps` steps are finished, yielding a report after each."""
        while self.step < steps:
            yield self._train_step()


def _quartiles(mse: Tensor, t: Tensor) -> dict[str, float]:
    """Mean noise error by quarter of the timesteps that the batch holds."""
    quarter = t * 4 // NUM_TIMESTEPS
    return {
        f"mse_q{index}": mse[quarter == index].mean().item()
        for index in range(4)
        if (quarter == index).any()
    }

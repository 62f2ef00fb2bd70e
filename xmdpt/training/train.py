"""Training of X-MDPT (Section 3.3, Eq. 5): randomness is keyed by (seed, step), resuming exact."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from xmdpt.config import ConfigError, Objective, Precision, TrainConfig
from xmdpt.diffusion import NUM_TIMESTEPS, min_snr_weight, training_losses
from xmdpt.features.cache import PairBatches
from xmdpt.flow import draw_flow_timesteps, flow_losses
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import autocast
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.alignment import SHARE, PoseAlignment
from xmdpt.training.device import (
    accelerator,
    adamw,
    agreed_precision,
    set_learning_rate,
    share_of,
)
from xmdpt.training.ema import EMA
from xmdpt.training.errors import TrainingError
from xmdpt.training.muon import MuonAndAdamW
from xmdpt.training.states import read_state, save_state
from xmdpt.training.watch import Watch

Batch = dict[str, Tensor]

NEEDED = {"step", "precision", "settings", "model", "ema", "optimizer"}
"""What every state holds."""

READERS = 4
"""Batches that are read in parallel while a GPU trains on the one before."""


class TrainingModule(nn.Module):
    """One step's whole computation, from a batch to its losses."""

    def __init__(
        self,
        model: XMDPTTransformer2DModel,
        condition_dropout: float,
        objective: Objective = "epsilon",
        alignment: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.condition_dropout = condition_dropout
        self.losses = flow_losses if objective == "flow" else training_losses
        self.alignment = PoseAlignment(model) if alignment else None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses (B,) of Eq. 5: `mse`, `vb`, `loss`, and with MIPNet `masked_*` too.

        There is no `vb` with the objective `flow`, and `alignment` only where that is on.

        The batch holds target_latent and source_latent (B, C, H, W), pose_tokens, source_tokens,
        t (B,), noise, mask_noise (B, N), and drop (2, B): uniform numbers for the condition
        dropout of the full and the masked pass.
        """
        condition = self.model.encode_condition(
            batch["pose_tokens"].float(),  # in whatever format they are stored
            batch["source_tokens"].float(),
            batch["source_latent"],
        )
        keep = (batch["drop"] >= self.condition_dropout).to(condition.dtype)[..., None]

        def full_pass(x_t: Tensor, t: Tensor) -> Tensor:
            sample: Tensor = self.model(x_t, t, condition * keep[0]).sample
            return sample

        def masked_pass(x_t: Tensor, t: Tensor) -> Tensor:
            masked = (batch["source_latent"], batch["mask_noise"])
            sample: Tensor = self.model(x_t, t, condition * keep[1], *masked).sample
            return sample

        target = (batch["target_latent"], batch["t"], batch["noise"])
        losses = self.losses(full_pass, *target)
        if self.alignment is not None:
            losses["alignment"] = self.alignment(batch["pose_tokens"])
        if self.model.mipnet is not None:
            masked = self.losses(masked_pass, *target)
            losses |= {f"masked_{name}": value for name, value in masked.items()}
        return losses


def draw_batch(
    batches: PairBatches,
    config: TrainConfig,
    num_patches: int,
    step: int,
    part: slice = slice(None),
) -> Batch:
    """Draw all that step number `step` (from 0) trains on; depends on (seed, step) alone.

    `part` is the share of one of several processes: random numbers are drawn for the whole batch.
    """
    count = config.batch_size
    indices = batch_indices(batches.seed, step, count, len(batches.targets))
    batch = batches.batch(step, indices, part)
    shape = batch["target_latent"].shape[1:]
    generator = keyed_generator(batches.seed, "noise", step)
    if config.objective == "flow":
        t = draw_flow_timesteps(count, generator)
    else:
        t = torch.randint(NUM_TIMESTEPS, (count,), generator=generator)
    batch["t"] = t[part]
    batch["noise"] = torch.randn((count, *shape), generator=generator)[part]
    batch["mask_noise"] = torch.rand(count, num_patches, generator=generator)[part]
    batch["drop"] = torch.rand(2, count, generator=generator)[:, part]
    return batch


@dataclass
class StepReport:
    """One step in numbers; losses are means over the batch."""

    step: int
    losses: dict[str, float]
    grad_norm: float


class Trainer:
    """Model, EMA, optimizer and the number of finished steps, from which `run` goes on.

    In N processes each computes an equal share of the batch, and all end each step with the same
    weights: those of one process, up to the order in which gradients are summed.
    """

    def __init__(
        self,
        model: XMDPTTransformer2DModel,
        batches: PairBatches,
        config: TrainConfig,
        source_encoder: nn.Module | None = None,
    ) -> None:
        """Prepare; `source_encoder` makes source tokens if the cache stores photos."""
        self.config = config
        self.batches = batches
        self.accelerator = accelerator()
        self.watch = Watch(self.accelerator)
        self.part = share_of(self.accelerator, "train", config.batch_size, config.accumulation)
        device = self.accelerator.device
        self.precision = agreed_precision(self.accelerator, config.precision)
        self.source_encoder = None if source_encoder is None else source_encoder.to(device)
        self.step = 0
        self.model = model.to(device)
        self.ema = EMA(self.model, config.ema_decay)
        if config.gradient_checkpointing:
            model.enable_gradient_checkpointing()
        module = TrainingModule(
            model.train(), config.condition_dropout, config.objective, config.alignment > 0
        )
        optimizer = _make_optimizer(module, config, self.precision)
        self.alignment = module.alignment
        if config.compile:
            module.compile(dynamic=False)
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)

    def save(self, path: Path, **about: object) -> None:
        """Write all that resuming needs, and `about`, whole or not at all."""
        state = about | {
            "step": self.step,
            "precision": self.precision,
            "settings": _settings(self.model),
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.alignment is not None:
            state["alignment"] = self.alignment.state_dict()
        save_state(path, state)

    def load(self, path: Path) -> dict[str, Any]:
        """Resume from a state that `save` wrote and return it; `auto` precision keeps the state's.

        Raises DamagedState for a file that is no whole state, ConfigError for that of a different
        model.
        """
        state = read_state(path, NEEDED)
        found = state["settings"]
        own = _settings(self.model)
        names = sorted(own.keys() | found.keys())
        if differ := [name for name in names if own.get(name) != found.get(name)]:
            raise ConfigError(
                f"{path}: the state of a model with another {', '.join(differ)}; a training can "
                "only go on with the model that it began with"
            )
        if ("alignment" in state) != (self.alignment is not None):
            raise ConfigError(
                f"{path}: the state of a training with another train.alignment; set it to 0 if it "
                "was 0, and else to the value that it had"
            )
        if ("muon" in state["optimizer"]) != (self.config.optimizer == "muon"):
            raise ConfigError(
                f"{path}: the state of a training with another train.optimizer; set the one that "
                "it began with"
            )
        self.step = state["step"]
        if self.config.precision == "auto":
            self.precision = state["precision"]
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        if self.alignment is not None:
            self.alignment.load_state_dict(state["alignment"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:  # from the current settings, not the saved ones
            group["weight_decay"] = self.config.weight_decay
            if "betas" in group:
                group["betas"] = (group["betas"][0], self.config.adam_beta2)
            else:  # Muon's, of a state that may lack it
                group["precision"] = self.precision
        return state

    def _objective(self, losses: dict[str, Tensor], t: Tensor) -> Tensor:
        """Return what is minimised: Eq. 5, its squared errors weighted by Min-SNR if it is on."""
        gamma = self.config.snr_gamma
        if gamma is not None:
            losses = losses | {
                f"{kind}loss": min_snr_weight(t, gamma) * losses[f"{kind}mse"] + losses[f"{kind}vb"]
                for kind in ("", "masked_")
                if f"{kind}mse" in losses
            }
        kinds = [name for name in ("loss", "masked_loss") if name in losses]
        total = torch.stack([losses[name].mean() for name in kinds]).sum()
        if "alignment" in losses:
            on = self.step < SHARE * self.config.steps
            # Where processes share gradients, they wait for that of every weight.
            if on or isinstance(self.module, DistributedDataParallel):
                total = total + on * self.config.alignment * losses["alignment"].mean()
        return total

    def _draw(self, step: int) -> Batch:
        batch = draw_batch(self.batches, self.config, self.model.num_patches, step, self.part)
        if self.accelerator.device.type == "cuda":
            batch = {name: value.pin_memory() for name, value in batch.items()}
        return batch

    def _train_step(self, batch: Batch) -> StepReport:
        device = self.accelerator.device
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        set_learning_rate(self.optimizer, self.config, self.step)
        losses = self._add_gradients(batch)
        grad_norm = self._clip()
        report = self._report(grad_norm, losses, batch["t"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.model)
        self.step += 1
        return report

    def _add_gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the gradients of the process's share, part by part; return its losses (B,)."""
        parts = split(batch, self.config.accumulation)
        found: dict[str, list[Tensor]] = {}
        for number, part in enumerate(parts, start=1):
            if self.source_encoder is not None:
                photos = to_signed(part.pop("source_pictures"))
                part["source_tokens"] = self.source_encoder(photos)
            last = number == len(parts)  # with which processes exchange their gradients
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                with autocast(self.accelerator.device, self.precision):
                    losses = self.module(part)
                self.accelerator.backward(self._objective(losses, part["t"]) / len(parts))
            for name, value in losses.items():
                found.setdefault(name, []).append(value.detach())
        return {name: torch.cat(values) for name, values in found.items()}

    def _clip(self) -> Tensor:
        """Clip the gradients if `grad_clip` is set; return their norm before that."""
        parameters = self.module.parameters()
        if self.config.grad_clip is not None:
            norm: Tensor = self.accelerator.clip_grad_norm_(parameters, self.config.grad_clip)
            return norm
        return get_total_norm([p.grad for p in parameters if p.grad is not None])

    def _report(self, grad_norm: Tensor, losses: dict[str, Tensor], t: Tensor) -> StepReport:
        """Return the step in numbers, of all processes, copied from the device at once.

        Raises TrainingError before anything that is not finite reaches the weights.
        """
        if self.accelerator.num_processes > 1:
            losses = {name: self._of_all(value) for name, value in losses.items()}
            t = self._of_all(t)
        means = {name: value.mean() for name, value in losses.items()}
        quartiles = _quartiles(losses["mse"], t)
        found = [*means.values(), *quartiles.values(), grad_norm]
        *numbers, norm = torch.stack([value.detach().double() for value in found]).tolist()
        said = dict(zip([*means, *quartiles], numbers, strict=True))
        if not all(map(math.isfinite, (norm, *numbers[: len(means)]))):
            raise TrainingError(
                f"step {self.step}: the loss is {said['loss']}, the gradient norm {norm}; lower "
                "train.learning_rate, set train.grad_clip, or train in fp32. To go on from the "
                "last saved state with new settings, set train.resume to the state.pt in the "
                "hidden folder beside the run's"
            )
        return StepReport(self.step + 1, {k: v for k, v in said.items() if not math.isnan(v)}, norm)

    def _of_all(self, values: Tensor) -> Tensor:
        """The values (B,) of the whole batch, from each process's share."""
        gathered: Tensor = self.accelerator.gather(values.detach())
        return gathered

    def run(self, steps: int) -> Iterator[StepReport]:
        """Train until `steps` steps are finished, yielding a report after each."""
        ahead = range(self.step, steps)
        on_cpu = self.accelerator.device.type == "cpu"  # reading ahead would only take its cores
        drawn = map(self._draw, ahead) if on_cpu else read_ahead(self._draw, ahead)
        with self.watch:
            for batch in drawn:
                self.watch.at(2 * self.step + 1)
                report = self._train_step(batch)
                self.watch.at(2 * self.step)
                yield report


def split(batch: Batch, count: int) -> list[Batch]:
    """Divide a batch into `count` equal ones; `drop` (2, B) alone has its pictures second."""
    parts = {
        name: value.chunk(count, dim=1 if name == "drop" else 0) for name, value in batch.items()
    }
    return [{name: values[index] for name, values in parts.items()} for index in range(count)]


def _make_optimizer(
    module: nn.Module, config: TrainConfig, precision: Precision
) -> torch.optim.Optimizer:
    rates = (config.learning_rate, config.weight_decay, config.adam_beta2)
    if config.optimizer == "muon":
        return MuonAndAdamW(module, *rates, precision)
    return adamw(module.parameters(), *rates)


def _settings(model: XMDPTTransformer2DModel) -> dict[str, Any]:
    """Return what the model was built with, without diffusers' own entries (`_...`)."""
    return {name: value for name, value in model.config.items() if not name.startswith("_")}


def read_ahead(draw: Callable[[int], Batch], steps: Sequence[int]) -> Iterator[Batch]:
    """Yield draw(step) for each of `steps`; threads draw the next ones in the meantime."""
    with ThreadPoolExecutor(READERS) as readers:
        waiting: deque[Future[Batch]] = deque()
        for step in steps:
            waiting.append(readers.submit(draw, step))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _quartiles(mse: Tensor, t: Tensor) -> dict[str, Tensor]:
    """Return the mean noise error by quarter of the timesteps; NaN for a quarter not drawn."""
    inside = (t * 4 // NUM_TIMESTEPS) == torch.arange(4, device=t.device)[:, None]
    means = (inside * mse).sum(dim=1) / inside.sum(dim=1)
    return {f"mse_q{index}": mean for index, mean in enumerate(means)}

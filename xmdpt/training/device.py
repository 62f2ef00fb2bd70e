"""The one device that a training runs on, its optimizer and its learning rate."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import nn

from xmdpt.config import TrainConfig, VAEConfig
from xmdpt.training.errors import TrainingError


def accelerator() -> Accelerator:
    """Return the device, without Accelerate's mixed precision, which would apply process-wide.

    Apple's GPUs are not used: they lack float64, which the variational bound needs.
    Raises TrainingError if there are several processes.
    """
    chosen = Accelerator(mixed_precision="no", cpu=torch.backends.mps.is_available())
    if chosen.num_processes > 1:
        raise TrainingError(
            f"training was started in {chosen.num_processes} processes but supports only one, on "
            "one device: start it without torchrun or accelerate launch"
        )
    return chosen


def adamw(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float = 0.0,
    beta2: float = 0.999,
) -> torch.optim.AdamW:
    """Return AdamW as one kernel: of small models it would be thousands."""
    return torch.optim.AdamW(
        parameters, learning_rate, (0.9, beta2), weight_decay=weight_decay, fused=True
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainConfig | VAEConfig, step: int
) -> None:
    """Set the rate of step number `step` (from 0): linear warm-up, constant, linear decay to 0."""
    warmup_steps = config.warmup_steps if isinstance(config, TrainConfig) else 0
    rise = (step + 1) / warmup_steps if warmup_steps else 1.0
    fall = (config.steps - step) / config.decay_steps if config.decay_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * min(1.0, rise, fall)

"""The device of each process of a training, its optimizer and its learning rate."""

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import nn

from xmdpt.config import ConfigError, TrainConfig, VAEConfig
from xmdpt.training.errors import TrainingError

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others: they may be compiling, or writing a checkpoint."""


def accelerator(several: bool = False) -> Accelerator:
    """Return this process's device, without Accelerate's mixed precision, which is process-wide.

    `several` allows several processes, started by torchrun. Apple's GPUs are not used: they lack
    float64, which the variational bound needs. Raises TrainingError if there are several processes
    where one alone is supported, and ConfigError for settings of Accelerate's own, which would
    override ours.
    """
    if names := sorted(name for name in os.environ if name.startswith("ACCELERATE_")):
        raise ConfigError(
            f"{', '.join(names)}: set in the environment, which would override params.yaml; unset "
            "them, and start several processes by torchrun, not by accelerate launch"
        )
    chosen = Accelerator(
        mixed_precision="no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    if chosen.num_processes > 1 and not several:
        raise TrainingError(
            f"started in {chosen.num_processes} processes, but the autoencoder is trained in one: "
            "start it without torchrun"
        )
    return chosen


def share_of(chosen: Accelerator, batch_size: int) -> slice:
    """The part of the global batch that this process computes; raises ConfigError if unequal."""
    processes = chosen.num_processes
    if batch_size % processes:
        raise ConfigError(
            f"train.batch_size: {batch_size} pairs cannot be divided equally among {processes} "
            "processes; change one of the two"
        )
    own = batch_size // processes
    return slice(chosen.process_index * own, (chosen.process_index + 1) * own)


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

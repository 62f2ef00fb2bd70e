"""The device of each process of a training, its optimizer and its learning rate."""

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn

from xmdpt.config import ConfigError, Precision, TrainConfig, VAEConfig
from xmdpt.support.precision import is_bf16

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others: they may be compiling, or writing a checkpoint."""


def accelerator() -> Accelerator:
    """Return this process's device, without Accelerate's mixed precision, which is process-wide.

    Several processes are started by torchrun. Apple's GPUs are not used: they lack float64, which
    the variational bound needs. Raises ConfigError for settings of Accelerate's own, which would
    override ours.
    """
    if names := sorted(name for name in os.environ if name.startswith("ACCELERATE_")):
        raise ConfigError(
            f"{', '.join(names)}: set in the environment, which would override params.yaml; unset "
            "them, and start several processes by torchrun, not by accelerate launch"
        )
    return Accelerator(
        mixed_precision="no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=PATIENCE),
            # No buffer of ours changes, and at 512x512 they are 218 MB.
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ],
    )


def share_of(chosen: Accelerator, section: str, batch_size: int, accumulation: int = 1) -> slice:
    """The part of the global batch that this process computes, in `accumulation` parts.

    Raises ConfigError, which names the setting of `section`, if the parts would not all be equal:
    only then is the mean of their means that of all.
    """
    processes = chosen.num_processes
    if batch_size % (processes * accumulation):
        parts = f" of {accumulation} parts each" if accumulation > 1 else ""
        raise ConfigError(
            f"{section}.batch_size: {batch_size} cannot be divided equally among {processes} "
            f"processes{parts}; change one of them"
        )
    own = batch_size // processes
    return slice(chosen.process_index * own, (chosen.process_index + 1) * own)


def mean_of_all(chosen: Accelerator, value: Tensor) -> Tensor:
    """The mean over all processes of a number that each has of its own equal share."""
    if chosen.num_processes == 1:
        return value
    mean: Tensor = chosen.reduce(value.detach(), reduction="mean")
    return mean


def any_of(chosen: Accelerator, flag: bool) -> bool:
    """Whether the flag is up in any process; all of them must ask, in the same place."""
    if chosen.num_processes == 1:
        return flag
    flags: Tensor = chosen.gather(torch.tensor([int(flag)], device=chosen.device))
    return bool(flags.any())


def agreed_precision(chosen: Accelerator, precision: Precision) -> Precision:
    """What `precision` means, to all processes alike: each may time its processor for `auto`."""
    return "bf16" if any_of(chosen, is_bf16(chosen.device, precision)) else "fp32"


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

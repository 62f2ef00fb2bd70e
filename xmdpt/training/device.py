"""The one device that a training runs on, and the optimizer as it suits it."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import nn

from xmdpt.training.errors import TrainingError


def accelerator() -> Accelerator:
    """The device, without a mixed precision of its own, which would hold for all of a process.

    Apple's GPUs are left out: the variational bound is computed in float64, which they lack.
    Raises TrainingError in one of several processes.
    """
    chosen = Accelerator(mixed_precision="no", cpu=torch.backends.mps.is_available())
    if chosen.num_processes > 1:
        raise TrainingError(
            f"training was started in {chosen.num_processes} processes; it runs in one, on one "
            "device: start it without torchrun or accelerate launch"
        )
    return chosen


def adamw(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    device: torch.device,
) -> torch.optim.AdamW:
    """AdamW, on a GPU in one kernel: there, starting many small ones takes longer than they do."""
    fused = device.type == "cuda"
    return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=fused)

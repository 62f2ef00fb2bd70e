"""The one device that a training runs on."""

import torch
from accelerate import Accelerator

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

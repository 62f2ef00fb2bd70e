"""Number formats: bfloat16 where the machine multiplies it in hardware, float32 elsewhere."""

import torch

from xmdpt.config import Precision


def multiplies_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices faster than float32 ones.

    Emulated, it can be 100 times slower. AVX-512's own instructions for it, on a processor without
    AMX tiles, took 1.7 to 1.9 times as long as float32 with the shapes of the small model.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in ("amx_bf16", "bf16"))
    return False


def is_bf16(device: torch.device, precision: Precision) -> bool:
    """Whether `precision` means bf16 on `device`; `auto` is whichever format is faster there."""
    return precision == "bf16" or (precision == "auto" and multiplies_bf16(device))


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which `device` computes in bf16, or in fp32, as `precision` has it there."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bf16(device, precision))

"""Number formats: bfloat16 where the machine multiplies it in hardware, float32 elsewhere."""

import torch

from xmdpt.config import Precision


def multiplies_bf16(device: torch.device) -> bool:
    """Whether `device` has instructions for bfloat16; emulated, it can be 100 times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which `device` computes in bf16, or in fp32; `auto` is whichever is faster."""
    bf16 = precision == "bf16" or (precision == "auto" and multiplies_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)

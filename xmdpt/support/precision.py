"""Number formats: bfloat16 where the machine multiplies it in hardware, float32 elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from xmdpt.config import Precision


def _seconds(dtype: torch.dtype) -> float:
    """The best time of several that the CPU takes for a matrix product of the small model.

    Of its own time: what other processes take must not decide, or the two parts of a stage that was
    interrupted could be made in different formats.
    """
    a, b = torch.ones(2048, 256, dtype=dtype), torch.ones(256, 1024, dtype=dtype)
    times = []
    for _ in range(10):
        start = time.process_time()
        a @ b
        times.append(time.process_time() - start)
    return min(times)


@cache
def _avx512_is_faster() -> bool:
    """Whether AVX-512 alone makes bfloat16 products faster; on some processors it does not."""
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def multiplies_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices faster than float32 ones.

    Emulated, it can be 100 times slower. With AVX-512 instructions but no AMX tiles, a training
    step took 1.7 to 1.9 times as long as in float32 on one processor, and half as long on another
    (EPYC, Zen 5), so on such processors a product is timed, once per process.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        if found.get("amx_bf16") or found.get("bf16"):
            return True
        return bool(found.get("avx512_bf16")) and _avx512_is_faster()
    return False


def gpu_count() -> int:
    """How many NVIDIA GPUs PyTorch can use; `device_count` ignores a driver that is too old."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@contextmanager
def full_float32() -> Iterator[None]:
    """A context in which a GPU's convolutions are full float32.

    By default they use TF32, whose ten-bit mantissa makes scores and features differ by machine.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def is_bf16(device: torch.device, precision: Precision) -> bool:
    """Whether `precision` means bf16 on `device`; `auto` is whichever format is faster there."""
    return precision == "bf16" or (precision == "auto" and multiplies_bf16(device))


def resolve(device: torch.device, precision: Precision) -> Precision:
    """What `precision` means on `device`: `bf16` or `fp32`."""
    return "bf16" if is_bf16(device, precision) else "fp32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which `device` computes in the format that `precision` means there."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bf16(device, precision))

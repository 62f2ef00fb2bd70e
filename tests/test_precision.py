"""The number format that a device computes in."""

import pytest
import torch

from xmdpt import precision
from xmdpt.precision import autocast, multiplies_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "wanted, native, made",
    [
        ("fp32", True, torch.float32),
        ("bf16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_products_come_out_in_the_format(monkeypatch, wanted, native, made):
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: native)
    with autocast(CPU, wanted):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == made


@pytest.mark.parametrize(
    "capability, fast", [("avx512_bf16", False), ("amx_bf16", True), ("bf16", True)]
)
def test_a_processor_is_asked_for_its_instructions(monkeypatch, capability, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: True})
    assert multiplies_bf16(CPU) == fast

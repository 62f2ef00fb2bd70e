"""The number format that a device computes in."""

import time

import pytest
import torch

from xmdpt.support import precision
from xmdpt.support.precision import autocast, multiplies_bf16

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


@pytest.mark.parametrize("capability, fast", [("amx_bf16", True), ("bf16", True), ("amx", False)])
def test_a_processor_is_asked_for_its_instructions(monkeypatch, capability, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: True})
    assert multiplies_bf16(CPU) == fast


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_avx512_alone_is_timed(monkeypatch, factor):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    times = {torch.float32: 1.0, torch.bfloat16: factor}
    monkeypatch.setattr(precision, "_seconds", times.__getitem__)
    timed_anew = precision._avx512_is_faster.__wrapped__
    monkeypatch.setattr(precision, "_avx512_is_faster", timed_anew)
    assert multiplies_bf16(CPU) == (factor < 1)


def test_a_product_takes_time():
    assert 0 < precision._seconds(torch.float32) < 10


def test_what_a_processor_does_for_others_does_not_count(monkeypatch):
    """Else the same command would choose another format on a busy machine."""
    multiply = torch.Tensor.__matmul__

    def late(a, b):
        time.sleep(0.2)
        return multiply(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", late)
    assert precision._seconds(torch.float32) < 0.2

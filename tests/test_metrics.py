"""Picture metrics against direct computations: ST-LPIPS, SSIM, PSNR, silhouettes."""

import sys
import types

import pytest
import torch

from xmdpt.perceptual import STLPIPS


@pytest.fixture(scope="module")
def st_lpips() -> STLPIPS:
    torch.set_num_threads(1)
    return STLPIPS()


@pytest.fixture(scope="module")
def noise() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    b = (a + 0.3 * torch.randn(a.shape, generator=generator)).clamp(-1, 1)
    return a, b


def test_st_lpips_equals_the_package(st_lpips, noise, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchsummary", types.SimpleNamespace(summary=None))
    package = pytest.importorskip("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    with torch.no_grad():
        torch.testing.assert_close(st_lpips(*noise), theirs(*noise).flatten(), rtol=1e-5, atol=1e-8)


def test_st_lpips_of_a_picture_and_itself_is_zero(st_lpips, noise):
    assert (st_lpips(noise[0], noise[0]) == 0).all()
    assert (st_lpips(*noise) > 1e-3).all()


def test_st_lpips_is_a_loss(st_lpips, noise):
    """Gradients are finite, even for a flat picture, and descending them lowers the distance."""
    flat = torch.full((1, 3, 64, 64), -1.0, requires_grad=True)
    st_lpips(flat, flat.detach()).sum().backward()
    assert flat.grad.isfinite().all()
    a, b = noise
    x = a.clone().requires_grad_()
    before = st_lpips(x, b)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    with torch.no_grad():
        after = st_lpips(x - 0.01 * gradient.sign(), b)
    assert gradient.isfinite().all() and (after < before).all()

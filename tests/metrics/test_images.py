"""Picture metrics against direct computations: ST-LPIPS, SSIM, PSNR, silhouettes."""

import importlib
import sys
import types

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageDraw

from xmdpt.metrics.images import WHITE, psnr, sharpness, silhouette, silhouette_iou, ssim
from xmdpt.metrics.perceptual import LPIPS, STLPIPS


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
    package = importlib.import_module("stlpips_pytorch.stlpips")
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


def test_lpips_equals_the_original_scheme(noise, monkeypatch):
    """With random weights (none are bundled), against the same network in the ST-LPIPS package."""
    monkeypatch.setitem(sys.modules, "torchsummary", types.SimpleNamespace(summary=None))
    package = importlib.import_module("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net="alex", variant="vanilla", pretrained=False, verbose=False)
    trunk = [value for name, value in theirs.state_dict().items() if name.startswith("net.")]
    alexnet = dict(zip(_alexnet_names(), trunk, strict=True))
    heads = {k: v for k, v in theirs.state_dict().items() if k.startswith("lin") and k[3] != "s"}
    with torch.no_grad():
        mine = LPIPS(alexnet | {"classifier.1.weight": torch.zeros(1)}, heads)
        torch.testing.assert_close(mine(*noise), theirs(*noise).flatten(), rtol=1e-4, atol=1e-7)


def _alexnet_names() -> list[str]:
    return [f"features.{i}.{kind}" for i in (0, 3, 6, 8, 10) for kind in ("weight", "bias")]


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((72, 96)))
    return a, (a * 0.8 + rng.normal(0, 12, a.shape)).clip(0, 255).astype(np.uint8)


def test_ssim_by_its_formula(pictures):
    """Means, variances and covariance in 9x9 Gaussian windows of sigma 1.2, written out."""
    prediction, target = (picture.astype(np.float64) for picture in pictures)
    offset = np.arange(-4, 5)
    window = np.exp(-(offset**2) / (2 * 1.2**2))
    window = np.outer(window, window) / window.sum() ** 2

    def mean(x: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(x, (9, 9), axis=(0, 1))
        return (views * window).sum(axis=(-1, -2))

    spread = prediction.max() - prediction.min()
    c1, c2 = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    mx, my = mean(prediction), mean(target)
    vx, vy = mean(prediction**2) - mx**2, mean(target**2) - my**2
    covariance = mean(prediction * target) - mx * my
    values = (2 * mx * my + c1) * (2 * covariance + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2)
    assert ssim(*pictures) == pytest.approx(values.mean(), rel=1e-9)


def test_ssim_takes_its_range_from_the_prediction(pictures):
    prediction, target = pictures
    assert np.ptp(prediction) > np.ptp(target)
    assert ssim(prediction, target) != ssim(target, prediction)
    assert ssim(prediction, target, sigma=1.5) != ssim(prediction, target)
    flat = np.full_like(target, 255)
    assert ssim(flat, flat) == 1 and np.isfinite(ssim(flat, target))


def test_identical_pictures(pictures):
    for picture in pictures:
        assert ssim(picture, picture) == pytest.approx(1, abs=1e-12)
        assert psnr(picture, picture) == float("inf")
        assert silhouette_iou(picture, picture) == 1


def test_psnr():
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a + 51) == pytest.approx(20 * np.log10(5))  # an error of 0.2


def _figure(left: int, white_patch: int = 0) -> np.ndarray:
    """A 20x40 dark rectangle on white, with an enclosed white square of some pixels' side."""
    picture = Image.new("RGB", (100, 100), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, 30, left + 19, 69), fill=(40, 60, 200))
    if white_patch:
        draw.rectangle((left + 2, 34, left + 1 + white_patch, 33 + white_patch), fill="white")
    return np.asarray(picture)


def test_silhouettes():
    assert silhouette(_figure(30)).sum() == 800
    assert silhouette_iou(_figure(30), _figure(40)) == pytest.approx(400 / 1200)
    assert silhouette_iou(_figure(10), _figure(60)) == 0
    white = np.full((100, 100, 3), 255, np.uint8)
    assert silhouette_iou(white, white) == 1 and silhouette_iou(white, _figure(30)) == 0


def test_sharpness_is_the_share_of_steepness():
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 200
    low = edge // 2
    ramp = np.linspace(0, 196, 8, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2)
    assert sharpness(edge, edge) == 1 and sharpness(low, edge) == pytest.approx(0.5)
    assert sharpness(edge.swapaxes(0, 1), edge) == pytest.approx(1)
    assert sharpness(ramp, edge) == pytest.approx(0.98 * 7**-0.5)  # seven small steps, not one
    assert sharpness(np.full_like(edge, 9), edge) == 0
    assert np.isnan(sharpness(edge, np.full_like(edge, 9)))


def test_one_dark_channel_is_cloth():
    picture = np.full((10, 10, 3), 255, np.uint8)
    for colour, seen in (((255, 255, 0), 36), ((255, 255, WHITE - 1), 36), ((WHITE,) * 3, 0)):
        picture[2:8, 2:8] = colour
        assert silhouette(picture).sum() == seen


def test_small_enclosed_holes_are_cloth():
    assert silhouette(_figure(30, white_patch=10)).sum() == 800  # 1 % of the picture: filled
    assert silhouette(_figure(30, white_patch=11)).sum() == 800 - 121  # more: background
    corner = np.zeros((100, 100, 3), np.uint8)
    corner[:5, :5] = 255
    assert not silhouette(corner)[:5, :5].any()  # white at the frame is background however small


def test_pictures_that_cannot_be_compared():
    a = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="different sizes"):
        psnr(a, a[:4])
    with pytest.raises(ValueError, match="need uint8"):
        ssim(a / 255, a)

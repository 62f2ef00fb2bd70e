"""Protocols: everything that decides a number, written down.

The same pixels score .64 to .80 in SSIM according to whose rules are applied: a number without its
protocol says nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from xmdpt.encoders import EfficientNetTokens, package_weights
from xmdpt.evaluation.frechet import InceptionFeatures
from xmdpt.perceptual import LPIPS, STLPIPS

Size = tuple[int, int]  # height, width


class MissingWeights(FileNotFoundError):
    """Pretrained weights that a metric needs are not on disk; the message says which and where."""


@dataclass(frozen=True)
class Protocol:
    """One way to score results; see `PROTOCOLS` for those known."""

    name: str
    about: str

    size: Size | None
    """Height and width at which SSIM, PSNR and silhouettes are taken; None keeps the results'."""
    resize: str
    """How references, and results of another size, are squashed to it: library and filter."""
    pair_metrics: tuple[str, ...]
    """Metrics of single pictures, besides the perceptual one: ssim, psnr, silhouette_iou."""
    ssim_sigma: float

    deep_size: Size | None
    """Size at which networks then see the pictures; None keeps `size`."""
    deep_resize: str
    perceptual: str | None
    """Name of the perceptual metric: lpips (AlexNet, v0.1) or st_lpips, both fed [-1, 1]."""
    frechet: str
    """Name of the Frechet distance: fid or fd_effnet."""
    frechet_network: str
    frechet_size: int
    """Side of the square that the network stretches pictures to."""
    frechet_scale: tuple[float, float, float] | None
    frechet_offset: tuple[float, float, float] | None
    """The network is fed x * scale + offset of x in [0, 1]; None is the network's own scale."""
    frechet_reference: str
    """Whose pictures the results' distribution is held against."""
    batch_size: int
    drop_last: bool
    """Whether networks skip the last batch if it is not full."""


PIDM = Protocol(
    name="pidm",
    about="PIDM's rules, which X-MDPT's published numbers follow: 256x256 squash, SSIM sigma 1.2",
    size=(256, 256),
    resize="pil bicubic",
    pair_metrics=("ssim", "psnr"),
    ssim_sigma=1.2,
    deep_size=(256, 176),
    deep_resize="cv2 bilinear",
    perceptual="lpips",
    frechet="fid",
    frechet_network="torchvision inception_v3 IMAGENET1K_V1",
    frechet_size=299,
    # std / 0.5 and (mean - 0.5) / 0.5 of ImageNet: a formula for normalised pictures, applied to
    # pictures in [0, 1]. An oversight, and part of every published number.
    frechet_scale=(0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5),
    frechet_offset=((0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5),
    frechet_reference="train",
    batch_size=64,
    drop_last=True,
)

SYNTHETIC = Protocol(
    name="synthetic",
    about="offline runs on rendered people: PIDM's SSIM and PSNR at the results' size, and "
    "stand-ins for the metrics whose networks no package ships; not comparable with published FID "
    "or LPIPS",
    size=None,
    resize="pil bicubic",
    pair_metrics=("ssim", "psnr", "silhouette_iou"),
    ssim_sigma=1.2,
    deep_size=None,
    deep_resize="cv2 bilinear",
    perceptual="st_lpips",
    frechet="fd_effnet",
    frechet_network="efficientnet_lite0 ImageNet",
    frechet_size=224,
    frechet_scale=None,
    frechet_offset=None,
    frechet_reference="train",
    batch_size=32,
    drop_last=False,
)

PROTOCOLS = {protocol.name: protocol for protocol in (PIDM, SYNTHETIC)}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Return the protocol of that name; ValueError lists those known."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol '{protocol}' is not one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]


def _pil_bicubic(picture: np.ndarray, size: Size) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))


def _cv2_bilinear(picture: np.ndarray, size: Size) -> np.ndarray:
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)


RESIZERS: dict[str, Callable[[np.ndarray, Size], np.ndarray]] = {
    "pil bicubic": _pil_bicubic,  # antialiased
    "cv2 bilinear": _cv2_bilinear,  # not antialiased
}


def resize(picture: np.ndarray, size: Size | None, how: str) -> np.ndarray:
    """Squash uint8 (H, W, 3) to `size` (height, width) as `how` of `RESIZERS` does; None keeps."""
    if size is None or picture.shape[:2] == tuple(size):
        return picture
    return RESIZERS[how](picture, tuple(size))


def hub_weights(file: str, use: str) -> dict[str, Tensor]:
    """Load torchvision weights from torch hub's folder; nothing is downloaded.

    Raises `MissingWeights` naming the file, where it goes, where it comes from and which profile
    needs it.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        raise MissingWeights(
            f"{use} needs {path}, which is not there (profile 'paper' needs it): put "
            f"https://download.pytorch.org/models/{file} there"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def perceptual_network(protocol: Protocol) -> nn.Module:
    """Build the protocol's perceptual metric: forward(a, b in [-1, 1]) -> (B,)."""
    if protocol.perceptual == "st_lpips":
        return STLPIPS()
    alexnet = hub_weights("alexnet-owt-7be5be79.pth", "LPIPS")
    try:
        heads = package_weights("lpips", "lpips", "weights/v0.1/alex.pth")
    except ModuleNotFoundError as error:
        raise MissingWeights(f"LPIPS needs its linear heads (profile 'paper'): {error}") from None
    return LPIPS(alexnet, heads)


def frechet_network(protocol: Protocol) -> nn.Module:
    """Build the protocol's Frechet network: pooled(pictures in [-1, 1]) -> (B, D)."""
    if protocol.frechet == "fd_effnet":
        return EfficientNetTokens()
    weights = hub_weights("inception_v3_google-0cc3c7bd.pth", "FID")
    scale, offset = protocol.frechet_scale, protocol.frechet_offset
    return InceptionFeatures(weights, protocol.frechet_size, scale, offset)

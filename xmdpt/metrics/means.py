"""Means of metrics of single pictures, over pictures in memory."""

from collections.abc import Sequence

import numpy as np
import torch

from xmdpt.metrics.images import psnr, ssim
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.support.pictures import to_signed

Pictures = np.ndarray | Sequence[np.ndarray]
"""uint8 (N, H, W, 3), or as many of (H, W, 3)."""


@torch.no_grad()
def mean_scores(made: Pictures, truth: Pictures) -> dict[str, float]:
    """Return mean st_lpips, SSIM (PIDM's) and PSNR (dB) of pictures against the truth."""
    network, pairs = STLPIPS(), list(zip(made, truth, strict=True))
    distances = [network(to_signed(a[None]), to_signed(b[None])).item() for a, b in pairs]
    return {
        "st_lpips": float(np.mean(distances)),
        "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
    }

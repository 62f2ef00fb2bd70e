"""Between pictures as people see them (uint8, H W 3) and as networks do (float, 3 H W, [-1, 1])."""

import numpy as np
import torch
from torch import Tensor


def to_signed(pictures: np.ndarray | Tensor) -> Tensor:
    """uint8 (..., H, W, 3) -> float32 (..., 3, H, W) in [-1, 1]."""
    return torch.as_tensor(pictures).movedim(-1, -3).float() / 127.5 - 1


def to_uint8(pictures: Tensor) -> np.ndarray:
    """(..., 3, H, W) in [-1, 1] -> uint8 (..., H, W, 3); truncated, not rounded, as PIDM does."""
    scaled = (pictures.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.movedim(-3, -1).to(torch.uint8).cpu().numpy()

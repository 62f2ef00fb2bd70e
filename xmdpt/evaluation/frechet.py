"""The Frechet distance between two sets of features, and the network behind published FIDs."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Moments = tuple[np.ndarray, np.ndarray]


def moments(features: np.ndarray) -> Moments:
    """Return mean (D,) and unbiased covariance (D, D) of features (N, D), in float64."""
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"features must be (N, D) with at least two rows, not {x.shape}")
    mean = x.mean(axis=0)
    centred = torch.from_numpy(x - mean)
    return mean, (centred.T @ centred / (len(x) - 1)).numpy()


def frechet_distance(a: np.ndarray | Moments, b: np.ndarray | Moments) -> float:
    """Return |m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)) of two Gaussians (Heusel et al., 2017).

    Each side is features (N, D) or a pair (mean (D,), covariance (D, D)). The trace of the root is
    taken from the eigenvalues of the symmetric A^(1/2) B A^(1/2), which has those of A B: no
    complex numbers, no failure on singular covariances, and never below zero but for rounding.
    Linear algebra is torch's, which keeps to torch's number of threads.
    """
    (mean_a, cov_a), (mean_b, cov_b) = (x if isinstance(x, tuple) else moments(x) for x in (a, b))
    if mean_a.shape != mean_b.shape or cov_a.shape != cov_b.shape:
        raise ValueError(f"features of different widths: {mean_a.shape} and {mean_b.shape}")
    difference = mean_a - mean_b
    first, second = (torch.as_tensor(cov, dtype=torch.float64) for cov in (cov_a, cov_b))
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root @ second @ root
    values = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0)
    trace = first.trace() + second.trace() - 2 * values.sqrt().sum()
    return max(float(difference @ difference) + trace.item(), 0.0)


class InceptionFeatures(nn.Module):
    """torchvision's ImageNet Inception v3 up to its 2048 pooled features: the field's FID network.

    Not the TensorFlow weights of other FID tools. Pictures in [0, 1] are stretched to `size`
    (bilinear, no antialias) and brought to x * scale + offset, both per channel.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        size: int,
        scale: Sequence[float],
        offset: Sequence[float],
    ) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        self.size = size
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1))
        self.register_buffer("offset", torch.tensor(offset).view(1, 3, 1, 1))
        self.net = inception_v3(weights=None, init_weights=False)
        self.net.load_state_dict(weights)
        self.net.fc = nn.Identity()
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def pooled(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to features (B, 2048)."""
        size = (self.size, self.size)
        x = F.interpolate((pictures + 1) / 2, size, mode="bilinear", align_corners=False)
        return self.net(x * self.scale + self.offset)

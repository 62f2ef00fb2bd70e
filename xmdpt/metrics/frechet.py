"""Distances between two sets of features: Frechet's, its limit without bias, and the kernel's."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

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


def frechet_infinity(
    features: np.ndarray,
    reference: Moments,
    seed: int = 0,
    points: int = 15,
    pictures: Sequence[int] | np.ndarray | None = None,
) -> float:
    """Return the Frechet distance extrapolated to infinitely many results.

    Over random subsets of `features` (N, D), of `points` sizes from N/2 to N, the distance is
    fitted by a line in 1/size, whose value at 0 is returned (Chong and Forsyth, CVPR 2020).
    `pictures` tells rows of one picture by equal numbers: a subset has all of them or none, and
    its size is that of different ones, since a repeated row is no further sample. The law holds
    where there are well more of them than features: fewer than 2 D give nan.
    """
    x = torch.as_tensor(features, dtype=torch.float64)
    own = torch.arange(len(x)) if pictures is None else torch.as_tensor(pictures)
    distinct, own = own.unique(return_inverse=True)
    count = len(distinct)
    if count < 2 * x.shape[1]:
        return float("nan")
    mean, cov = (torch.as_tensor(part, dtype=torch.float64) for part in reference)
    values, vectors = torch.linalg.eigh(cov)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    generator = torch.Generator().manual_seed(seed)
    sizes = [round(count * (1 + step / (points - 1)) / 2) for step in range(points)]
    distances = []
    for size in sizes:
        subset = x[torch.isin(own, torch.randperm(count, generator=generator)[:size])]
        own_mean = subset.mean(dim=0)
        projected = (subset - own_mean) @ root
        # tr (A^(1/2) B A^(1/2))^(1/2), where B is the subset's covariance
        product = torch.linalg.eigvalsh(projected.T @ projected / (len(subset) - 1)).clamp(min=0)
        spread = (subset - own_mean).square().sum() / (len(subset) - 1) + cov.trace()
        shift = (own_mean - mean).square().sum()
        distances.append((shift + spread - 2 * product.sqrt().sum()).item())
    return float(np.polyfit([1 / size for size in sizes], distances, 1)[1])


def _kernel_blocks(a: Tensor, b: Tensor, rows: int = 256) -> Iterator[Tensor]:
    """The cubic kernel (x y / D + 1)^3 of rows of a (N, D) with all of b (M, D), in blocks."""
    for block in a.split(rows):
        yield (block @ b.T / a.shape[1] + 1) ** 3


def kernel_within(
    features: np.ndarray, pictures: Sequence[int] | np.ndarray | None = None
) -> float:
    """Return the mean of the cubic kernel over all pairs of different pictures' features (N, D).

    `pictures` tells rows of one picture by equal numbers, as for `frechet_infinity`. Of a single
    picture it is the kernel of that with itself.
    """
    x = torch.as_tensor(features, dtype=torch.float64)
    own = (x.square().sum(dim=1) / x.shape[1] + 1) ** 3
    same = torch.arange(len(x)) if pictures is None else torch.as_tensor(pictures)
    _, places, counts = same.unique(return_inverse=True, return_counts=True)
    repeats = counts[places]
    pairs = len(x) ** 2 - repeats.sum().item()
    if pairs == 0:
        return float(own.mean())
    total = sum(block.sum() for block in _kernel_blocks(x, x))
    return float((total - (own * repeats).sum()) / pairs)


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    within_b: float | None = None,
    pictures_a: Sequence[int] | np.ndarray | None = None,
) -> float:
    """Return the unbiased squared MMD of features (N, D) and (M, D): KID (Binkowski et al., 2018).

    With all features instead of the mean over subsets that tools draw: the same expectation,
    without their randomness. `within_b` is `kernel_within(b)`, if it is known; `pictures_a` tells
    rows of one picture in `a`, see there.
    """
    x, y = (torch.as_tensor(part, dtype=torch.float64) for part in (a, b))
    across = sum(block.sum() for block in _kernel_blocks(x, y)).item() / (len(x) * len(y))
    within_b = kernel_within(b) if within_b is None else within_b
    return kernel_within(a, pictures_a) + within_b - 2 * across

"""Distances between two sets of features: Frechet's (FID), its unbiased limit, and KID's."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SUBSETS = 15  # for the limit of infinitely many results
BLOCK = 256  # rows whose kernel is in memory at a time
Moments = tuple[np.ndarray, np.ndarray]
"""Mean (D,) and covariance (D, D)."""
Pictures = Sequence[int] | np.ndarray | None
"""For each row of features the number of its picture: rows with equal numbers are repetitions.

None: all rows are different pictures.
"""


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

    Each side is given by features (N, D) or moments. The trace of the root is computed from the
    eigenvalues of the symmetric A^(1/2) B A^(1/2), which are those of A B. So there are no complex
    numbers, singular covariances do not fail, and only rounding can make the result negative. The
    linear algebra is torch's, which respects torch's number of threads.
    """
    (mean_a, cov_a), (mean_b, cov_b) = (x if isinstance(x, tuple) else moments(x) for x in (a, b))
    if mean_a.shape != mean_b.shape or cov_a.shape != cov_b.shape:
        raise ValueError(f"features have different widths: {mean_a.shape} and {mean_b.shape}")
    difference = mean_a - mean_b
    first, second = (torch.as_tensor(cov, dtype=torch.float64) for cov in (cov_a, cov_b))
    root = _root(first)
    product = root @ second @ root
    values = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0)
    trace = first.trace() + second.trace() - 2 * values.sqrt().sum()
    return max(float(difference @ difference) + float(trace), 0.0)


def _root(cov: Tensor) -> Tensor:
    """The square root of a covariance."""
    values, vectors = torch.linalg.eigh(cov)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


class FrechetDistance:
    """The Frechet distance of many sets of features to one reference, whose root is made once."""

    def __init__(self, reference: Moments) -> None:
        self.mean, self.cov = (torch.as_tensor(part, dtype=torch.float64) for part in reference)
        self.root = _root(self.cov)

    def __call__(self, features: np.ndarray | Tensor) -> float:
        """Return the distance of features (N, D); see `frechet_distance`."""
        x = torch.as_tensor(features, dtype=torch.float64)
        own_mean, freedom = x.mean(dim=0), len(x) - 1
        projected = (x - own_mean) @ self.root
        # tr (A^(1/2) B A^(1/2))^(1/2), where B is the covariance of x; few rows have a small Gram
        few = len(x) < x.shape[1]
        product = projected @ projected.T if few else projected.T @ projected
        values = torch.linalg.eigvalsh(product / freedom).clamp(min=0)
        spread = (x - own_mean).square().sum() / freedom + self.cov.trace()
        shift = (own_mean - self.mean).square().sum()
        return float(shift + spread - 2 * values.sqrt().sum())


def frechet_infinity(
    features: np.ndarray,
    reference: Moments,
    seed: int = 0,
    pictures: Pictures = None,
) -> float:
    """Return the Frechet distance extrapolated to infinitely many results.

    The distances of random subsets of `features` (N, D), of sizes from N/2 to N, are fitted by a
    line in 1/size, whose value at 0 is returned (Chong and Forsyth, CVPR 2020). A
    repeated picture is no further sample: a subset has all of its rows or none, and sizes count
    different pictures. The fit needs many more of these than features: fewer than 2 D give nan.
    """
    x = torch.as_tensor(features, dtype=torch.float64)
    distinct, own = torch.unique(_numbers(x, pictures), return_inverse=True)
    count = len(distinct)
    if count < 2 * x.shape[1]:
        return float("nan")
    distance = FrechetDistance(reference)
    generator = torch.Generator().manual_seed(seed)
    sizes = [round(count * (1 + step / (SUBSETS - 1)) / 2) for step in range(SUBSETS)]
    distances = []
    for size in sizes:
        subset = x[torch.isin(own, torch.randperm(count, generator=generator)[:size])]
        distances.append(distance(subset))
    return float(np.polyfit([1 / size for size in sizes], distances, 1)[1])


def _numbers(x: Tensor, pictures: Pictures) -> Tensor:
    return torch.arange(len(x)) if pictures is None else torch.as_tensor(pictures)


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """The sum of the cubic kernel (x y / D + 1)^3 over all rows of a (N, D) and b (M, D)."""
    blocks = ((block @ b.T / a.shape[1] + 1) ** 3 for block in torch.split(a, BLOCK))
    return sum((block.sum() for block in blocks), torch.zeros((), dtype=a.dtype))


def kernel_within(features: np.ndarray, pictures: Pictures = None) -> float:
    """Return the mean of the cubic kernel over all pairs of different pictures' features (N, D).

    For a single picture, it is the kernel of that picture with itself.
    """
    x = torch.as_tensor(features, dtype=torch.float64)
    own = (x.square().sum(dim=1) / x.shape[1] + 1) ** 3
    _, places, counts = torch.unique(_numbers(x, pictures), return_inverse=True, return_counts=True)
    repeats = counts[places]
    pairs = len(x) ** 2 - repeats.sum().item()
    if pairs == 0:
        return float(own.mean())
    return float((_kernel_sum(x, x) - (own * repeats).sum()) / pairs)


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    within_b: float | None = None,
    pictures_a: Pictures = None,
) -> float:
    """Return the unbiased squared MMD of features (N, D) and (M, D): KID (Binkowski et al., 2018).

    It uses all features, where other tools average over random subsets: the expectation is the
    same, without the randomness. `within_b` is `kernel_within(b)`, if known.
    """
    x, y = (torch.as_tensor(part, dtype=torch.float64) for part in (a, b))
    across = _kernel_sum(x, y).item() / (len(x) * len(y))
    within_b = kernel_within(b) if within_b is None else within_b
    return kernel_within(a, pictures_a) + within_b - 2 * across

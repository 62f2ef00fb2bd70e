"""What vectors hold: in how many directions they differ, and what a line reads from them."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Of a ridge regression, in units of the mean square of a row."""


def participation_ratio(vectors: Tensor) -> float:
    """In how many directions vectors (K, D) differ: (sum of variances)^2 / sum of their squares.

    The variances are those of the principal components: n equal ones give n, a single one gives 1.
    """
    variances = components(vectors)[0]
    return float(variances.sum().square() / variances.square().sum())


def components(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (R,), largest first, and directions (R, D) of vectors (K, D) about their mean."""
    centred = vectors.double() - vectors.double().mean(dim=0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    return singular.square() / max(len(vectors) - 1, 1), directions


def keep_leading(vectors: Tensor, directions: Tensor, mean: Tensor, count: int) -> Tensor:
    """Vectors (K, D) that leave the mean (D,) in the first `count` directions (R, D) alone."""
    leading = directions[:count]
    kept = mean.double() + (vectors.double() - mean.double()) @ leading.T @ leading
    return kept.to(vectors.dtype)


def read_out(vectors: Tensor, wanted: np.ndarray, groups: Sequence[Hashable]) -> float:
    """R^2 with which a line reads `wanted` (K, n) from vectors (K, D) of people who are new to it.

    Ridge regression, in five parts of whole `groups` (K,): each is predicted from the other four,
    which also choose how much weights are held down. 1 is exact, 0 as good as the mean, and below 0
    worse.
    """
    people = [*dict.fromkeys(groups)]
    if len(people) < FOLDS:
        raise ValueError(f"{len(people)} people cannot be divided into {FOLDS} parts")
    part_of = {person: number % FOLDS for number, person in enumerate(people)}
    parts = np.array([part_of[group] for group in groups])
    x, y = vectors.double().cpu().numpy(), np.asarray(wanted, dtype=np.float64)
    off = of_mean = 0.0
    for part in range(FOLDS):
        fit, new = parts != part, parts == part
        chosen = min(PENALTIES, key=lambda penalty: _inner_error(x, y, parts, fit, penalty))
        off += _error(x, y, fit, new, chosen)
        of_mean += np.square(y[new] - y[fit].mean(axis=0)).sum()
    return float(1 - off / of_mean)


def _inner_error(
    x: np.ndarray, y: np.ndarray, parts: np.ndarray, fit: np.ndarray, penalty: float
) -> float:
    """Squared error on each part of the rows `fit`, predicted from their other parts."""
    inner = [fit & (parts == part) for part in np.unique(parts[fit])]
    return sum(_error(x, y, fit & ~new, new, penalty) for new in inner)


def _error(x: np.ndarray, y: np.ndarray, fit: np.ndarray, new: np.ndarray, penalty: float) -> float:
    """Squared error on the rows `new` of a ridge regression of y (K, n) on x (K, D) of `fit`."""
    mean, spread = x[fit].mean(axis=0), x[fit].std(axis=0) + 1e-12
    scaled, asked = (x[fit] - mean) / spread, (x[new] - mean) / spread
    kernel = scaled @ scaled.T
    held = penalty * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    dual = np.linalg.solve(kernel + held, y[fit] - y[fit].mean(axis=0))
    guessed = y[fit].mean(axis=0) + asked @ scaled.T @ dual
    return float(np.square(y[new] - guessed).sum())

"""What vectors hold: in how many directions they differ, and what a line reads from them."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

FOLDS = 5


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

    Ridge regression, in five parts of whole `groups` (K,): each is predicted from the other four. 1
    is exact; 0 is as good as the mean; below 0 is worse than that.
    """
    people = [*dict.fromkeys(groups)]
    if len(people) < FOLDS:
        raise ValueError(f"{len(people)} people cannot be divided into {FOLDS} parts")
    part_of = {person: number % FOLDS for number, person in enumerate(people)}
    parts = np.array([part_of[group] for group in groups])
    x, y = vectors.double().cpu().numpy(), np.asarray(wanted, dtype=np.float64)
    guessed = np.empty_like(y)
    by_mean = np.empty_like(y)
    for part in range(FOLDS):
        fit, test = parts != part, parts == part
        by_mean[test] = y[fit].mean(axis=0)
        guessed[test] = by_mean[test] + _ridge(x[fit], y[fit], x[test])
    return float(1 - np.square(y - guessed).sum() / np.square(y - by_mean).sum())


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """What a ridge regression of y (K, n) on x (K, D) adds to the mean at `new` (M, D)."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-12
    scaled, asked = (x - mean) / spread, (new - mean) / spread
    kernel = scaled @ scaled.T
    weight = 0.1 * np.trace(kernel) / len(kernel)
    dual = np.linalg.solve(kernel + weight * np.eye(len(kernel)), y - y.mean(axis=0))
    added: np.ndarray = asked @ scaled.T @ dual
    return added

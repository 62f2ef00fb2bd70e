"""Bootstrap intervals: the uncertainty of a mean over test pairs."""

import math
from collections.abc import Hashable, Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    samples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval (low, high) of the mean of the finite values.

    A single value, or a single group, says nothing of its own uncertainty: both ends are nan.

    With `groups`, whole groups are resampled: pairs that show the same person are not independent,
    and resampling single pairs would make the interval too narrow. Percentile intervals of few
    groups are too narrow as well, so they are widened by the ratio of Student's t to the normal
    distribution (Hesterberg, 2015).
    """
    from scipy import stats  # a second of imports

    numbers = np.asarray(values, dtype=np.float64)
    keep = np.isfinite(numbers)
    codes_by_group: dict[Hashable, int] = {}
    labels = range(len(numbers)) if groups is None else groups
    codes = [
        codes_by_group.setdefault(label, len(codes_by_group))
        for label, kept in zip(labels, keep, strict=True)
        if kept
    ]
    if len(codes_by_group) < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(codes, weights=numbers[keep]), np.bincount(codes)
    draws = np.random.default_rng(seed).integers(len(counts), size=(samples, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail, count = (1 - level) / 2, len(counts)
    wider = math.sqrt(count / (count - 1)) * stats.t.ppf(tail, count - 1)
    tail = float(stats.norm.cdf(wider))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

"""Bootstrap intervals: how far a mean over test pairs can be trusted."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def bootstrap_interval(
    values: Sequence[float],
    seed: int,
    groups: Sequence[object] | None = None,
    samples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval (low, high) of the mean of the finite values.

    With `groups`, whole groups are drawn: pairs that show one person are no independent witnesses,
    and an interval over single pairs is too narrow. Percentiles of few are too narrow as well;
    they are expanded as Student's t is over the normal distribution (Hesterberg, 2015).
    """
    values = np.asarray(values, dtype=np.float64)
    keep = np.isfinite(values)
    labels = np.arange(len(values)) if groups is None else np.asarray(groups, dtype=object)
    codes = pd.factorize(labels[keep])[0]
    if not len(codes):
        return float("nan"), float("nan")
    sums, counts = np.bincount(codes, weights=values[keep]), np.bincount(codes)
    draws = np.random.default_rng(seed).integers(len(counts), size=(samples, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail, count = (1 - level) / 2, len(counts)
    if count > 1:
        wider = math.sqrt(count / (count - 1)) * stats.t.ppf(tail, count - 1)
        tail = float(stats.norm.cdf(wider))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

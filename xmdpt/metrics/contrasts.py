"""How much two designs differ, when each was trained with several seeds and scored on many people.

Scores are an array (R, S, U): R rows (designs), S training seeds that all rows share, and U people
(means over each person's pairs) or, for a distance between collections, the pseudo-values of
`jackknife_values`. A score is seen as

    row + seed + person + row:seed + row:person + seed:person + rest,

all but the row being random. In the difference of two rows everything without a row cancels, since
they share seeds and people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POWER = 0.8


@dataclass(frozen=True)
class Contrast:
    """The difference of two rows: its standard error, and the degrees of freedom of that."""

    difference: float
    error: float
    freedom: float

    def _t(self, quantile: float) -> float:
        from scipy import stats  # a second of imports

        return float(stats.t.ppf(quantile, self.freedom))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The confidence interval (low, high) of the difference, over seeds and people."""
        reach = self._t((1 + level) / 2) * self.error
        return self.difference - reach, self.difference + reach

    @property
    def p_value(self) -> float:
        """The two-sided p-value of no difference."""
        from scipy import stats

        if self.error == 0:
            return 1.0 if self.difference == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.difference) / self.error, self.freedom))

    def detectable(self, level: float = 0.95) -> float:
        """The difference that a design like this one finds with a probability of 80 %."""
        return (self._t((1 + level) / 2) + self._t(POWER)) * self.error


def _two_way_residuals(table: np.ndarray) -> np.ndarray:
    """A table (I, J) without the means of its rows and columns."""
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    residuals: np.ndarray = table - rows - columns + table.mean()
    return residuals


def _seed_square(scores: np.ndarray) -> tuple[float, int]:
    """The mean square of row:seed, pooled over rows, and its degrees of freedom."""
    rows, seeds, _ = scores.shape
    if rows < 2 or seeds < 2:
        raise ValueError(f"need two rows and two seeds or more, not {rows} and {seeds}")
    freedom = (rows - 1) * (seeds - 1)
    return float(np.square(_two_way_residuals(scores.mean(axis=2))).sum() / freedom), freedom


def contrast(scores: np.ndarray, first: int, second: int) -> Contrast:
    """Return the difference of the rows `first` and `second` of scores (R, S, U).

    The spread over seeds is pooled over all rows, since few seeds of one row say little about it.
    The variance of the difference is that over seeds plus that over people, less what both contain
    (the rest); its degrees of freedom are Satterthwaite's.
    """
    _, seeds, units = scores.shape
    square, freedom = _seed_square(scores)
    over_seeds = 2 * square / seeds
    gain = scores[first] - scores[second]  # (S, U)
    over_people = float(gain.mean(axis=0).var(ddof=1)) / units
    rest_freedom = (seeds - 1) * (units - 1)
    rest = float(np.square(_two_way_residuals(gain)).sum()) / rest_freedom / (seeds * units)
    variance = max(over_seeds + over_people - rest, over_seeds, over_people)
    spread = over_seeds**2 / freedom + over_people**2 / (units - 1) + rest**2 / rest_freedom
    return Contrast(
        difference=float(gain.mean()),
        error=float(np.sqrt(variance)),
        freedom=variance**2 / spread if spread else float(freedom),
    )


def seed_interval(scores: np.ndarray, row: int, level: float = 0.95) -> tuple[float, float]:
    """Return where the mean of a further seed of a row of scores (R, S, U) should fall.

    This prediction interval is for the same people, and wider than the interval of the mean.
    """
    from scipy import stats

    rows, seeds, _ = scores.shape
    means = scores.mean(axis=2)
    square, freedom = _seed_square(scores)
    shared = rows * float(means.mean(axis=0).var(ddof=1))  # the mean square of the seeds
    parts = ((shared / rows, seeds - 1), ((rows - 1) / rows * square, freedom))
    variance = sum(value for value, _ in parts)
    effective = variance**2 / sum(value**2 / count for value, count in parts) if variance else 1.0
    reach = float(stats.t.ppf((1 + level) / 2, effective)) * np.sqrt(variance * (1 + 1 / seeds))
    middle = float(means[row].mean())
    return middle - reach, middle + reach


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, 1979).

    Calling those below 0.05 differences has a 5 % chance of even one false alarm.
    """
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    raised = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    adjusted = np.empty(len(p_values))
    adjusted[order] = raised
    return [float(value) for value in adjusted]


def jackknife_values(whole: float, without: Sequence[float]) -> np.ndarray:
    """Return the pseudo-values (G,) of a statistic, given its values without each of G groups.

    They behave like G independent measurements of it, so that a distance between collections, which
    no single picture has, gets a standard error (Tukey, 1958).
    """
    left = np.asarray(without, dtype=np.float64)
    return len(left) * whole - (len(left) - 1) * left

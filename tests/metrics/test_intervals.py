"""Bootstrap intervals of a mean."""

import numpy as np
import pytest
from scipy import stats

from xmdpt.metrics.intervals import bootstrap_interval


@pytest.mark.parametrize("count", [8, 20])
def test_an_interval_over_few_is_as_wide_as_students(count):
    values = stats.norm.ppf((np.arange(count) + 0.5) / count)
    low, high = bootstrap_interval(values, seed=0, samples=20_000)
    half = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5
    assert (low, high) == pytest.approx((-half, half), rel=0.05)
    assert all(np.isnan(bootstrap_interval(values, 0, groups=["all"] * count)))


def test_bootstrap():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 2, 400)
    low, high = bootstrap_interval(values, seed=0)
    assert (low, high) == bootstrap_interval(values, seed=0) != bootstrap_interval(values, seed=1)
    spread = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - spread, abs=0.05)
    assert high == pytest.approx(values.mean() + spread, abs=0.05)
    # Ten copies of each value are no more evidence than one: groups know, single pairs do not.
    copies, people = np.repeat(values, 10), np.repeat(np.arange(400), 10)
    grouped = bootstrap_interval(copies, seed=0, groups=people)
    assert grouped == pytest.approx((low, high))
    alone = bootstrap_interval(copies, seed=0)
    assert alone[1] - alone[0] < 0.5 * (high - low)
    assert bootstrap_interval([1, np.inf, 1], seed=0) == (1, 1)
    for alone in ([np.inf], [1.0], [1.0, np.inf]):
        assert all(np.isnan(bootstrap_interval(alone, seed=0)))

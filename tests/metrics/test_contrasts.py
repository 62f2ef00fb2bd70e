"""Differences over seeds and people, on made data whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from xmdpt.metrics.contrasts import contrast, holm, jackknife_values, seed_interval

ROWS, PEOPLE = 8, 60


def made(rng, seeds, effects, row_seed=0.2, row_person=1.0, rest=1.0, skewed=False):
    """Scores (R, S, U) of the model in the module's docstring, with all its parts."""
    shape = (ROWS, seeds, PEOPLE)

    def part(*sides):
        draw = rng.exponential(size=sides) - 1 if skewed else rng.normal(size=sides)
        return np.broadcast_to(draw, shape)

    return (
        np.asarray(effects)[:, None, None] + 0.5 * part(1, seeds, 1) + 3 * part(1, 1, PEOPLE)
        + row_seed * part(ROWS, seeds, 1) + row_person * part(ROWS, 1, PEOPLE)
        + part(1, seeds, PEOPLE) + rest * part(*shape)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seeds", "options"),
    [
        (3, {}),
        (5, {}),
        (3, {"skewed": True}),
        (3, {"row_seed": 0.0}),
        (3, {"row_person": 0.0, "rest": 0.3}),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(seeds, options):
    rng = np.random.default_rng(0)
    effects = np.linspace(0, 0.7, ROWS)
    held = []
    for _ in range(1500):
        low, high = contrast(made(rng, seeds, effects, **options), 5, 2).interval()
        held.append(low <= effects[5] - effects[2] <= high)
    assert 0.935 <= np.mean(held) <= (0.985 if options.get("row_seed") == 0 else 0.97)


def test_no_difference_gives_few_false_alarms_among_many_claims():
    rng = np.random.default_rng(1)
    alarms = []
    for _ in range(600):
        scores = made(rng, 3, np.zeros(ROWS))
        tests = [contrast(scores, row, 0).p_value for row in range(1, ROWS)]
        alarms.append(min(holm(tests)) < 0.05)
    assert np.mean(alarms) < 0.07


def test_a_detectable_difference_is_detected_four_times_in_five():
    rng = np.random.default_rng(2)
    size = np.mean([contrast(made(rng, 3, np.zeros(ROWS)), 1, 0).detectable() for _ in range(200)])
    effects = [0, size, *[0] * (ROWS - 2)]
    found = [contrast(made(rng, 3, effects), 1, 0).interval()[0] > 0 for _ in range(600)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_a_further_seed_falls_into_its_interval():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(800):
        scores = made(rng, 5, np.zeros(ROWS))
        low, high = seed_interval(scores[:, :4], 3)
        inside.append(low <= scores[3, 4].mean() <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)


def test_without_spread_over_seeds_it_is_the_paired_t_test():
    rng = np.random.default_rng(4)
    people = rng.normal(size=(ROWS, 1, PEOPLE)).repeat(2, axis=1)  # both seeds say the same
    found = contrast(people, 1, 0)
    gain = people[1, 0] - people[0, 0]
    low, high = stats.ttest_1samp(gain, 0).confidence_interval()
    assert found.interval() == pytest.approx((low, high))
    assert found.p_value == pytest.approx(stats.ttest_1samp(gain, 0).pvalue)
    assert contrast(people, 0, 1).difference == -found.difference


def test_a_single_seed_or_row_is_refused():
    for shape in ((3, 1, 9), (1, 3, 9)):
        with pytest.raises(ValueError, match="two rows and two seeds"):
            contrast(np.zeros(shape), 0, 0)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]


def test_pseudo_values_of_a_mean_are_the_groups_and_of_a_variance_unbiased():
    values = np.random.default_rng(5).normal(size=40)
    left = [np.delete(values, index).mean() for index in range(40)]
    np.testing.assert_allclose(jackknife_values(values.mean(), left), values)
    left = [np.delete(values, index).var() for index in range(40)]
    assert jackknife_values(values.var(), left).mean() == pytest.approx(values.var(ddof=1))

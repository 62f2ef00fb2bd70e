"""Verdicts on made scores whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from xmdpt.study.design import Claim, Design
from xmdpt.study.verdicts import JUDGED_BY, Scores, judge, unproven

SEEDS, PEOPLE, NOISE = 3, 120, 0.01
ONE_NETWORK = ("guidance_low", "other_noise")
ROWS = ("base_b", "worse", "same", "slightly_worse", "copies")
TRUTH = {  # st_lpips of each row; lower is better
    "base_b": 0.100, "worse": 0.110, "same": 0.100, "slightly_worse": 0.1015, "copies": 0.140,
}  # fmt: skip


def claim(better, worse, metric="lpips", **options):
    return Claim(claim="a", place="b", better=better, worse=worse, metric=metric, **options)


def design(*claims, level=0.05, margin=0.03):
    rows = dict.fromkeys((*ROWS, *ONE_NETWORK, "never_run"), "a row")
    named = {str(index): one for index, one in enumerate(claims)}
    settings = {"registered": "2026", "level": level, "margin": margin, "seeds": [0, 1, 2]}
    return Design(**settings, rows=rows, same_weights=ONE_NETWORK, trends={}, claims=named)


def made(noise=NOISE, seed=0):
    """Scores of all metrics; the values of those where more is better are turned around."""
    rng = np.random.default_rng(seed)
    people = 0.02 * rng.normal(size=PEOPLE)
    values = np.array([TRUTH[row] for row in ROWS])[:, None, None] + people
    values = values + noise * rng.normal(size=(len(ROWS), SEEDS, PEOPLE))
    lower = Scores(ROWS, values, 0.13 + people)
    higher = Scores(ROWS, 1 - values, 1 - lower.copy)
    return {metric: higher if metric == "ssim" else lower for metric in JUDGED_BY.values()}


def statuses(*claims, **options):
    found = judge(design(*claims, **options), made())
    return [verdict.status for verdict in found.values()]


@pytest.mark.parametrize("metric", ["fid", "lpips", "ssim"])
def test_the_sign_decides_whichever_end_of_a_metric_is_better(metric):
    sides = (claim("base_b", "worse", metric), claim("worse", "base_b", metric))
    first, second = judge(design(*sides), made()).values()
    assert (first.status, second.status) == ("supported", "not supported")
    assert first.gain.difference == pytest.approx(0.01, abs=0.003)
    assert second.gain.difference == -first.gain.difference
    assert not first.negligible, "three times the margin"


def test_no_difference_is_shown_not_assumed():
    assert statuses(claim("base_b", "same")) == ["no difference"]
    assert statuses(claim("base_b", "same"), margin=0.005) == ["cannot tell"]


def test_a_difference_can_be_sure_and_too_small_to_matter():
    [verdict] = judge(design(claim("base_b", "slightly_worse")), made(0.002)).values()
    assert verdict.status == "supported" and verdict.negligible


def test_rows_that_are_claimed_to_be_equal():
    equal = [claim("base_b", row, equal=True) for row in ("same", "worse")]
    assert statuses(*equal) == ["supported", "not supported"]
    assert statuses(equal[0], margin=0.005) == ["cannot tell"]


def test_a_row_that_only_copies_decides_nothing():
    [verdict] = judge(design(claim("base_b", "copies")), made()).values()
    assert verdict.status == "cannot tell"
    assert verdict.reason == "copies no better than a copy of the source"


def test_a_row_that_is_missing_is_named_and_stops_no_other():
    assert statuses(claim("base_b", "never_run"), claim("base_b", "worse")) == [
        "not run",
        "supported",
    ]


def test_more_claims_need_more_evidence():
    scores = made(0.03, seed=3)
    few, many = (
        judge(design(*[claim("base_b", "slightly_worse")] * count), scores)["0"].p_value
        for count in (1, 20)
    )
    assert many == pytest.approx(min(20 * few, 1))


def test_rows_of_one_network_are_not_judged_by_the_spread_between_networks():
    """Their weights move together with the seed, so that a small difference of theirs is seen."""
    rng = np.random.default_rng(1)
    rows = ("base_b", *ONE_NETWORK, "worse", "same")
    seeds = 0.01 * rng.normal(size=(len(rows), SEEDS, 1))
    seeds[1:3] = seeds[0]
    truth = np.array([0.100, 0.102, 0.100, 0.102, 0.100])[:, None, None]
    values = truth + seeds + 0.001 * rng.normal(size=(len(rows), SEEDS, PEOPLE))
    scores = dict.fromkeys(JUDGED_BY.values(), Scores(rows, values, np.full(PEOPLE, 0.14)))
    claims = (claim("base_b", "guidance_low"), claim("base_b", "worse"))
    of_one, of_two = judge(design(*claims), scores).values()
    assert of_one.status == "supported" and of_two.status == "cannot tell"
    assert of_one.gain.error < 0.0002 < 0.002 < of_two.gain.error


def test_no_claim_is_left_open_whose_gain_would_have_been_seen():
    claims = [claim("base_b", "slightly_worse")] * 20
    for noise in (0.01, 0.02, 0.03, 0.05):
        for one in judge(design(*claims), made(noise)).values():
            if one.status == "cannot tell" and not one.reason:
                assert abs(one.gain.difference) < one.gain.detectable(1 - 0.05 / len(claims))


def test_without_base_b_there_is_no_margin_and_no_verdict():
    scores = {m: Scores(s.rows[1:], s.values[1:], s.copy) for m, s in made().items()}
    [verdict] = judge(design(claim("same", "worse")), scores).values()
    assert (verdict.status, verdict.reason) == ("not run", "base_b not run")


def test_a_sure_difference_within_the_margin_refutes_no_equality():
    one = claim("base_b", "slightly_worse", equal=True)
    [verdict] = judge(design(one, margin=0.025), made(0.005)).values()
    assert verdict.p_value < 0.05 and verdict.status == "cannot tell"


def test_the_level_sets_the_interval():
    assert statuses(claim("base_b", "same"), level=0.001) == ["cannot tell"]


@pytest.mark.parametrize(("t", "weak"), [(1.5, True), (2.5, False)])  # p 0.07, 0.007
def test_how_sure_a_row_must_beat_the_copy(t, weak):
    z = stats.norm.ppf((np.arange(PEOPLE) + 0.5) / PEOPLE)
    z = 0.01 * (z / z.std(ddof=1) + t / PEOPLE**0.5)
    scores = made()["st_lpips"]
    copied = Scores(ROWS, scores.values, scores.values[0].mean(axis=0) + z)
    assert unproven({"st_lpips": copied}, "base_b") is weak

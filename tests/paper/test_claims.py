"""What the scores say about the paper's claims, and when they cannot tell."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.repository import ROOT
from helpers.results import with_settings, write_scores

from xmdpt.config import load_config
from xmdpt.paper.claims import (
    COMPARISONS,
    FEWEST_PEOPLE,
    FEWEST_STEPS,
    Comparison,
    invariance_claim,
    judge,
    views_claim,
)
from xmdpt.paper.exhibits import EXHIBITS
from xmdpt.paper.published import scores
from xmdpt.paper.scores import Results, training_in_words

MIPNET = Comparison("2a", "MIPNet helps", ("base_b", "ablation"), ("no_mask", "ablation"))
INIT = "data/pretrained/xmdpt-synthetic/transformer"


@pytest.fixture
def warm(results):
    """Results of runs that are warm-started from weights without MIPNet."""
    shutil.copytree(ROOT / INIT, results.root / INIT)
    return with_settings(results, train={"init": INIT})


def gains(people: int, mean: float, noise: float = 0.0) -> np.ndarray:
    each = np.random.default_rng(0).standard_normal(2 * people)
    return mean + noise * (each - each.mean())


def large_gain(results: Results, better: str, worse: str) -> Comparison:
    """A comparison of two runs that differ clearly, by more than noise."""
    write_scores(results, worse, np.full(40, 0.25))
    write_scores(results, better, np.full(40, 0.25) - gains(20, 0.1, 0.001))
    return Comparison("1", "It helps", (better, "ablation"), (worse, "ablation"))


# The interval


@pytest.mark.parametrize(
    "people, mean, noise, status",
    [
        (20, 0.02, 0.001, "supported"),
        (20, -0.02, 0.001, "not supported"),
        (20, 0.001, 0.05, "cannot tell"),
        (FEWEST_PEOPLE - 1, 0.02, 0.0, "cannot tell"),
        (FEWEST_PEOPLE, 0.02, 0.0, "supported"),
    ],
)
def test_a_claim_is_judged_by_its_interval_over_people(results, people, mean, noise, status):
    worse = np.full(2 * people, 0.25)
    write_scores(results, "no_mask", worse)
    write_scores(results, "base_b", worse - gains(people, mean, noise))
    claim = judge(MIPNET, results)
    assert claim.status == status
    assert claim.text == "MIPNet helps (Table 2a, st_lpips)"
    assert f"gain {mean:+.4f}" in claim.evidence
    few = " (below 8)" if people < FEWEST_PEOPLE else ""
    assert claim.evidence.endswith(f"on {2 * people} pairs of {people} people{few}")


def test_pairs_that_a_protocol_drops_are_not_counted(results):
    worse = np.full(40, 0.25)
    write_scores(results, "no_mask", worse)
    worse[[3, 7]] = np.nan
    write_scores(results, "base_b", worse - 0.1)
    claim = judge(MIPNET, results)
    assert claim.status == "supported" and "on 38 pairs of 20 people" in claim.evidence


def test_only_pairs_that_both_drew_are_compared(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    write_scores(results, "no_mask", np.full(24, 0.3))
    assert "gain +0.1000 (+0.1000 to +0.1000) on 24 pairs" in judge(MIPNET, results).evidence


def test_where_higher_is_better_the_gain_is_turned(results):
    for run, ssim in (("base_b", 0.75), ("no_mask", 0.7)):
        write_scores(results, run, np.full(40, 0.2), ssim)
    higher = Comparison("2a", "MIPNet helps", MIPNET.better, MIPNET.worse, "ssim")
    assert judge(higher, results).status == "supported"
    lower = Comparison("2a", "It harms", MIPNET.worse, MIPNET.better, "ssim")
    assert judge(lower, results).status == "not supported"


def test_a_run_not_carried_out_is_named(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    claim = judge(MIPNET, results)
    assert claim.status == "not run"
    assert claim.evidence == "no_mask (ablation) not among the runs of these settings"


# Fair comparisons


def test_a_warm_start_on_one_side_alone_tells_nothing(warm):
    beats = large_gain(warm, "base_b", "size_s")
    one_side = with_settings(warm, experiments={"size_s": {"train": {"init": None}}})
    claim = judge(beats, one_side)
    assert claim.status == "cannot tell"
    assert claim.evidence.endswith("one of the two alone is warm-started, or from other weights")


@pytest.mark.parametrize(
    ("worse", "changed"),
    [("canet_local", "canet_sources"), ("aggregation_add", "aggregation")],
)
def test_a_part_cut_out_of_trained_weights_is_no_ablation(warm, worse, changed):
    comparison = large_gain(warm, "base_b", worse)
    claim = judge(comparison, warm)
    assert claim.status == "cannot tell" and "gain +0.1000" in claim.evidence
    assert f"trained with one {changed}," in claim.evidence
    from_scratch = with_settings(warm, train={"init": None})
    assert judge(comparison, from_scratch).status == "supported"


@pytest.mark.parametrize("worse", ["no_mask", "mask_50"])
def test_what_starts_fresh_in_both_runs_is_judged(warm, worse):
    comparison = large_gain(warm, "base_b", worse)
    assert judge(comparison, warm).status == "supported"
    config = warm.root / INIT / "config.json"  # but not from weights that hold a MIPNet
    config.write_text(
        config.read_text().replace('"mip_attention": "none"', '"mip_attention": "self"')
    )
    assert judge(comparison, warm).status == "cannot tell"
    config.unlink()
    assert judge(comparison, warm).status == "cannot tell"


@pytest.mark.parametrize(
    ("train", "doubt"),
    [
        ({"learning_rate": 1e-3}, "they were trained with another learning_rate"),
        ({"checkpoints": {"ablation": 12000}}, "one was trained for 10,000 steps, the other for "
         "12,000"),
        ({"seed": 1, "save_every": 500}, None),
    ],
)  # fmt: skip
def test_runs_that_were_trained_in_another_way_are_not_compared(results, train, doubt):
    comparison = large_gain(results, "base_b", "no_mask")
    claim = judge(comparison, with_settings(results, experiments={"no_mask": {"train": train}}))
    assert claim.status == ("supported" if doubt is None else "cannot tell")
    assert doubt is None or claim.evidence.endswith(doubt)


def test_runs_that_were_drawn_in_another_way_are_not_compared(results):
    comparison = large_gain(results, "base_b", "no_mask")
    sample = {"guidance_scale": 3.0, "batch_size": 1}
    claim = judge(comparison, with_settings(results, experiments={"no_mask": {"sample": sample}}))
    assert claim.status == "cannot tell"
    assert claim.evidence.endswith("but they were drawn with another guidance_scale")


def test_a_run_that_went_on_with_other_settings_is_not_judged(results):
    helps = large_gain(results, "base_b", "size_s")
    assert judge(helps, results).status == "supported"
    resumed = with_settings(results, experiments={"size_s": {"train": {"resume": "state.pt"}}})
    assert judge(helps, resumed).status == "cannot tell"
    assert "in part with other settings" in training_in_words(resumed, ["base_b", "size_s"])
    assert training_in_words(resumed, []) == ""


@pytest.mark.parametrize(
    ("low", "status"), [(0.01, "supported"), (-0.01, "cannot tell"), (float("nan"), "cannot tell")]
)
def test_runs_that_do_not_beat_a_copy_show_nothing_of_their_design(results, low, status):
    comparison = large_gain(results, "base_b", "no_mask")
    path = results.root / "reports/scores/no_mask.json"
    rows = json.loads(path.read_text())
    rows["ablation"]["against"] = {"copy_source": {"st_lpips": [low, 0.03], "ssim": [-1, -1]}}
    path.write_text(json.dumps(rows))
    claim = judge(comparison, results)
    assert claim.status == status
    doubt = "but no_mask draws no better than a copy of the source"
    assert claim.evidence.endswith(doubt) == (status == "cannot tell")


def test_short_training_tells_nothing(results):
    comparison = large_gain(results, "base_b", "no_mask")
    assert results.steps("no_mask", "ablation") == FEWEST_STEPS
    short = {"train": {"checkpoints": {"ablation": FEWEST_STEPS - 1}}}
    claim = judge(comparison, with_settings(results, **short, experiments={"no_mask": short}))
    assert claim.status == "cannot tell"
    assert claim.evidence.endswith("but 9,999 steps are too few (below 10,000)")


@pytest.mark.parametrize("profile", ["synthetic-full", "paper", "paper-features-s-s"])
def test_real_trainings_are_long_enough_to_be_judged(profile):
    path = ROOT / f"profiles/{profile}.yaml"
    for run in load_config(path).runs:
        train = load_config(path, run).train
        assert train.init is None and min(train.checkpoints.values()) >= FEWEST_STEPS


# The list of claims


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda one: f"{one.table}-{one.text}")
def test_every_claim_is_what_the_printed_numbers_say(comparison):
    def printed(run: str, checkpoint: str) -> float:
        rows = [r for r in scores() if (r.table, r.size, r.run) == (comparison.table, 256, run)]
        rows.sort(key=lambda row: row.steps)
        return getattr(rows[0 if checkpoint == "ablation" else -1], comparison.metric)

    better, worse = printed(*comparison.better), printed(*comparison.worse)
    assert better > worse if comparison.metric == "ssim" else better < worse


def test_every_comparison_is_of_runs_that_the_papers_profile_has():
    profile = ROOT / "profiles/paper.yaml"
    runs = {
        (run, checkpoint)
        for run in load_config(profile).experiments
        for checkpoint in load_config(profile, run).train.checkpoints
    }
    wanted = {side for one in COMPARISONS for side in (one.better, one.worse)}
    assert wanted <= runs
    assert {f"table_{one.table}" for one in COMPARISONS} <= set(EXHIBITS)


# Figures 2 and 5


@pytest.mark.parametrize(
    ("cosine", "steps", "status"),
    [
        (0.99995, 9_999, "cannot tell"),
        (0.99995, 10_000, "supported"),
        (0.9998, 9_999, "cannot tell"),
        (0.9998, 10_000, "not supported"),
    ],
)
def test_the_last_vectors_answer_figure_5_and_short_training_tells_nothing(cosine, steps, status):
    columns = {"step": [1, steps], "cosine_person": [0.5, cosine], "cosine_people": [0.5, 0.99]}
    claim = invariance_claim("B", pd.DataFrame(columns))
    assert claim.status == status
    assert f"after {steps:,} steps" in claim.evidence and "0.99000 between" in claim.evidence


def test_views_are_weighed_over_people():
    spreads = pd.DataFrame({"person": [f"id_{n // 2}" for n in range(16)], "others": 0.3})
    spreads["drawn"] = 0.3 - np.linspace(0.05, 0.15, 16)
    claim = views_claim(spreads, 0)
    assert claim.status == "supported" and "gain +0.1000" in claim.evidence
    assert claim.evidence.endswith("on 16 sets of views of 8 people")
    assert views_claim(spreads[:14], 0).status == "cannot tell", "too few people"
    spreads["drawn"] = 0.3 + np.linspace(0.05, 0.15, 16)
    assert views_claim(spreads, 0).status == "not supported"
    spreads.loc[spreads["person"] == "id_0", "drawn"] = np.nan
    assert "14 sets of views of 7 people" in views_claim(spreads, 0).evidence

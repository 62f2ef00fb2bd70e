"""What one run says beside the paper's claims, and what makes a comparison doubtful."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.repository import ROOT
from helpers.results import with_settings, write_scores

from xmdpt.paper.claims import (
    MAY_DIFFER_IN_TRAINING,
    Comparison,
    beside,
    invariance_claim,
    views_claim,
)
from xmdpt.paper.scores import Results, training_in_words

MIPNET = Comparison(("base_b", "ablation"), ("no_mask", "ablation"))
INIT = "data/pretrained/xmdpt-synthetic/transformer"


@pytest.fixture
def warm(results):
    """Results of runs that are warm-started from weights without MIPNet."""
    shutil.copytree(ROOT / INIT, results.root / INIT)
    return with_settings(results, train={"init": INIT})


def large_gain(results: Results, better: str, worse: str) -> Comparison:
    """A comparison of two runs that differ clearly, by more than noise."""
    write_scores(results, worse, np.full(40, 0.25))
    each = 0.001 * np.random.default_rng(0).standard_normal(40)
    write_scores(results, better, np.full(40, 0.15) - each + each.mean())
    return Comparison((better, "ablation"), (worse, "ablation"))


def doubt(comparison: Comparison, results: Results) -> str:
    """What is said after `but`; empty where the comparison is fair."""
    said = beside(comparison, results)
    assert "gain +0.1000" in said
    return said.partition(", but ")[2]


# The numbers


def test_both_scores_and_the_gain_over_people(results):
    said = beside(large_gain(results, "base_b", "no_mask"), results)
    assert said.startswith("st_lpips 0.150 and 0.250, gain +0.1000 (+0.09")
    assert said.endswith("on 40 pairs of 20 people")


def test_pairs_that_a_protocol_drops_are_not_counted(results):
    worse = np.full(40, 0.25)
    write_scores(results, "no_mask", worse)
    worse[[3, 7]] = np.nan
    write_scores(results, "base_b", worse - 0.1)
    assert "on 38 pairs of 20 people" in beside(MIPNET, results)


def test_only_pairs_that_both_drew_are_compared(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    write_scores(results, "no_mask", np.full(24, 0.3))
    assert "gain +0.1000 (+0.1000 to +0.1000) on 24 pairs" in beside(MIPNET, results)


def test_where_higher_is_better_the_gain_is_turned(results):
    for run, ssim in (("base_b", 0.75), ("no_mask", 0.7)):
        write_scores(results, run, np.full(40, 0.2), ssim)
    higher = Comparison(MIPNET.better, MIPNET.worse, "ssim")
    assert beside(higher, results).startswith("SSIM 0.750 and 0.700, gain +0.0500")
    lower = Comparison(MIPNET.worse, MIPNET.better, "ssim")
    assert beside(lower, results).startswith("SSIM 0.700 and 0.750, gain -0.0500")


def test_a_distance_between_collections_has_no_gain_over_people(results):
    for run, distance in (("base_b", 50.0), ("no_mask", 60.0)):
        write_scores(results, run, np.full(40, 0.2))
        path = results.root / f"reports/scores/{run}.json"
        rows = json.loads(path.read_text())
        rows["ablation"]["fd_effnet"] = distance
        path.write_text(json.dumps(rows))
    comparison = Comparison(MIPNET.better, MIPNET.worse, "fid")
    assert beside(comparison, results) == "fd_effnet 50.0 and 60.0"


def test_a_run_not_carried_out_is_named(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    assert beside(MIPNET, results) == "no_mask (ablation) not among the runs of these settings"
    late = Comparison(("base_b", "main"), ("base_b", "ablation"))
    assert beside(late, results) == "base_b (main) not among the runs of these settings"


# Fair comparisons


def test_a_warm_start_on_one_side_alone_is_said(warm):
    beats = large_gain(warm, "base_b", "size_s")
    one_side = with_settings(warm, experiments={"size_s": {"train": {"init": None}}})
    assert doubt(beats, one_side) == "one of the two alone is warm-started, or from other weights"


@pytest.mark.parametrize(
    ("worse", "changed"),
    [("canet_local", "canet_sources"), ("aggregation_add", "aggregation")],
)
def test_a_part_cut_out_of_trained_weights_is_no_ablation(warm, worse, changed):
    comparison = large_gain(warm, "base_b", worse)
    assert f"trained with one {changed}," in doubt(comparison, warm)
    assert doubt(comparison, with_settings(warm, train={"init": None})) == ""


@pytest.mark.parametrize("worse", ["no_mask", "mask_50"])
def test_what_starts_fresh_in_both_runs_is_fair(warm, worse):
    comparison = large_gain(warm, "base_b", worse)
    assert doubt(comparison, warm) == ""
    config = warm.root / INIT / "config.json"  # but not from weights that hold a MIPNet
    config.write_text(
        config.read_text().replace('"mip_attention": "none"', '"mip_attention": "self"')
    )
    assert "which another damages" in doubt(comparison, warm)
    config.unlink()
    assert "which another damages" in doubt(comparison, warm)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"learning_rate": 1e-3}, "they were trained with another learning_rate"),
        ({"checkpoints": {"ablation": 12000}}, "one was trained for {} steps, the other for "
         "12,000"),
        ({"seed": 1, "save_every": 500}, ""),
    ],
)  # fmt: skip
def test_runs_that_were_trained_in_another_way(results, train, said):
    comparison = large_gain(results, "base_b", "no_mask")
    other = with_settings(results, experiments={"no_mask": {"train": train}})
    assert doubt(comparison, other) == said.format(f"{results.steps('base_b', 'ablation'):,}")


def test_runs_that_were_drawn_in_another_way(results):
    comparison = large_gain(results, "base_b", "no_mask")
    sample = {"guidance_scale": 1.5, "batch_size": 1}
    other = with_settings(results, experiments={"no_mask": {"sample": sample}})
    assert doubt(comparison, other) == "they were drawn with another guidance_scale"


def test_a_run_that_went_on_with_other_settings(results):
    helps = large_gain(results, "base_b", "size_s")
    assert doubt(helps, results) == ""
    resumed = with_settings(results, experiments={"size_s": {"train": {"resume": "state.pt"}}})
    assert "went on from a state" in doubt(helps, resumed)
    assert "in part with other settings" in training_in_words(resumed, ["base_b", "size_s"])
    assert training_in_words(resumed, []) == ""


@pytest.mark.parametrize(("low", "fair"), [(0.01, True), (-0.01, False), (float("nan"), False)])
def test_runs_that_do_not_beat_a_copy_show_nothing_of_their_design(results, low, fair):
    comparison = large_gain(results, "base_b", "no_mask")
    path = results.root / "reports/scores/no_mask.json"
    rows = json.loads(path.read_text())
    rows["ablation"]["against"] = {"copy_source": {"st_lpips": [low, 0.03], "ssim": [-1, -1]}}
    path.write_text(json.dumps(rows))
    said = "" if fair else "no_mask draws no better than a copy of the source"
    assert doubt(comparison, results) == said


# Figures 2 and 5


@pytest.mark.parametrize(("cosine", "status"), [(0.99995, "supported"), (0.9998, "not supported")])
def test_the_last_vectors_answer_figure_5(cosine, status):
    columns = {"step": [1, 4000], "cosine_person": [0.5, cosine], "cosine_people": [0.5, 0.99]}
    claim = invariance_claim("B", pd.DataFrame(columns))
    assert claim.status == status
    assert "after 4,000 steps" in claim.evidence and "0.99000 between" in claim.evidence


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
    few = "7 people were drawn from several views; 8 are needed"
    assert views_claim(spreads, 0).evidence == few


def test_distances_of_other_numbers_of_pictures_are_doubted(results):
    for run, count in (("base_b", 40), ("no_mask", 24)):
        write_scores(results, run, np.full(count, 0.2))
        path = results.root / f"reports/scores/{run}.json"
        rows = json.loads(path.read_text())
        rows["ablation"]["fd_effnet"] = 50.0
        path.write_text(json.dumps(rows))
    said = beside(Comparison(MIPNET.better, MIPNET.worse, "fid"), results)
    assert "they are distances of 24 and 40 pictures" in said


def test_the_page_names_the_settings_that_may_differ():
    page = (ROOT / "docs/evaluate.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"Only (`seed`.*?) may differ", page, re.S)
    named = {*re.findall(r"`(\w+)`", listed)}
    assert named == MAY_DIFFER_IN_TRAINING - {"init", "resume", "checkpoints"}

"""Our runs' scores beside the paper's: the tables, and the text below them."""

import json

import numpy as np
import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from helpers.repository import PROFILES
from helpers.results import results_of, with_settings, write_scores

from xmdpt.config import load_config
from xmdpt.evaluation.protocols import PROTOCOLS
from xmdpt.metrics.labels import FEW, METRICS
from xmdpt.paper.published import scores
from xmdpt.paper.scores import (
    NOT_PRINTED,
    PRINTED,
    Results,
    drawing_in_words,
    provenance,
    score_table,
    tables_with,
    training_in_words,
)
from xmdpt.presets import scheduler_for

# Reports


def test_a_run_is_found_in_each_table_that_shows_it():
    assert tables_with("mdt") == ["table_2a", "table_2d"]
    assert tables_with("size_s") == ["table_1"]
    assert tables_with("base_b")[0] == "table_1" and "table_2e" in tables_with("base_b")
    for table, rows in NOT_PRINTED.items():
        assert all(tables_with(run) == [f"table_{table}"] for _, run in rows)
    assert tables_with("nonesuch") == []


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_has_something_for_the_papers_metrics(results, protocol):
    results = with_settings(results, evaluate={"protocol": protocol})
    rules = PROTOCOLS[protocol]
    assert results.metric("fid") == rules.frechet[0].name
    assert results.metric("lpips") == rules.perceptual[0].name
    assert (results.metric("ssim"), results.metric("psnr")) == (rules.ssim[0].name, "psnr")
    assert {results.metric(name) for name in PRINTED} <= METRICS.keys()


def test_numbers_as_names_stay_text(results):
    write_scores(results, "base_b", np.full(2, 0.2))
    path = results.root / "reports/scores/base_b.tsv"
    path.write_text(path.read_text().replace("source", "000").replace("000\t", "source\t", 1))
    assert list(results.pairs("base_b", "ablation").index) == [
        ("0000", "target0"),
        ("0001", "target1"),
    ]


def test_numbers_of_a_run_no_longer_in_the_settings_are_not_shown(results):
    write_scores(results, "no_mask", np.full(40, 0.2))
    fresh = with_settings(results, runs=["base_b"])
    assert fresh.rows("no_mask") == {} and fresh.pairs("no_mask", "ablation") is None


# Tables


def test_a_table_has_each_printed_row_and_ours_beside_it(results):
    write_scores(results, "base_b", np.full(40, 0.20314))
    write_scores(results, "aggregation_add", np.full(40, 0.3))
    table = score_table("2a", results).set_index("method")
    printed = [row.method for row in scores() if row.table == "2a"]
    assert list(table.index) == printed
    assert table.loc["+ MIPNet", "our st_lpips ↓"] == "0.203"
    assert table.loc["+ MIPNet", "our steps"] == "10,000"
    assert str(table.loc["+ MIPNet", "paper's LPIPS ↓"]) == "0.1814"
    assert table.loc["Transformer", "our st_lpips ↓"] is None
    assert not [column for column in table if column.startswith(("our LPIPS", "our FID"))]
    (method, run), _ = NOT_PRINTED["2e"]  # the other is not carried out
    last = score_table("2e", results).iloc[-1]
    assert (run, last["method"], last["our st_lpips ↓"]) == ("aggregation_add", method, "0.300")


def test_a_row_of_features_is_filled_only_by_those_features(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    assert "our st_lpips ↓" not in score_table("2c", results), "EfficientNet is not DINOv2"
    encoders = {
        "source_encoder": "weights/dinov2-giant",
        "pose_encoder": "facebook/dinov2-base",
    }
    table = score_table("2c", with_settings(results, features=encoders))
    ours = table.set_index("method")["our st_lpips ↓"]
    assert ours["Global (G) + Pose (B)"] == "0.200" and ours.notna().sum() == 1


def test_rows_over_other_pairs_say_so(results):
    write_scores(results, "size_s", np.full(40, 0.2))
    write_scores(results, "base_b", np.full(40, 0.2))
    assert "our pairs" not in score_table("1", results)
    assert "40 test pairs a row" in provenance(results, ["size_s", "base_b"], ["ablation"])
    write_scores(results, "base_b", np.full(16, 0.2))
    table = score_table("1", results).set_index(["method", "paper's steps"])
    assert table.loc[("X-MDPT-S", "300,000"), "our pairs"] == "40"
    assert table.loc[("X-MDPT-B", "300,000"), "our pairs"] == "16"
    assert table.loc[("X-MDPT-L", "350,000"), "our pairs"] is None
    text = provenance(results, ["size_s", "base_b"], ["ablation", "main"])
    assert "test pairs a row: 16 or 40 at ablation; a Fréchet distance falls" in text


def test_limits_stand_where_their_size_was_run(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    small, large = (score_table("1", results, size).set_index("method") for size in (256, 512))
    assert small.loc["Ground truth", "our fd_effnet ↓"] == "24.0"
    assert not [column for column in large if column.startswith("our")]
    (results.root / "reports/scores/base_b.json").unlink()
    write_scores(results, "mask_50", np.full(40, 0.2))
    one = score_table("1", results).set_index("method")
    assert one.loc["Ground truth", "our fd_effnet ↓"] == "24.0", "any run's will do"


# Text


def test_the_solver_that_is_named_is_the_one_that_draws():
    noise, velocity = (load_config(f"profiles/{name}.yaml") for name in ("paper", "synthetic"))
    assert drawing_in_words(noise) == "50 steps of DDIM"
    assert isinstance(scheduler_for(noise.train.objective), DDIMScheduler)
    assert drawing_in_words(velocity) == "20 steps of DPM-Solver++"
    solver = scheduler_for(velocity.train.objective)
    assert isinstance(solver, DPMSolverMultistepScheduler)
    assert solver.config.algorithm_type == "dpmsolver++"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_runs_that_settings_do_not_have_are_not_mentioned(profile):
    known = Results(profile)
    text = training_in_words(known, ["no_mask", "base_b", "size_l_512"])
    done = [run for run in ("no_mask", "base_b", "size_l_512") if run in known.config.runs]
    assert text.count(" from ") + text.count(" by the authors") == len(done)


def test_provenance_says_what_the_numbers_are_based_on(tmp_path):
    init = "data/pretrained/xmdpt-synthetic/transformer"
    scratch = {"size_s": {"train": {"init": None}}}
    results = results_of(tmp_path, train={"init": init}, experiments=scratch)
    nothing = provenance(results, ["base_b"], ["ablation"])
    assert nothing == "Ours: none of these runs is carried out by the profile synthetic."
    for run in ("base_b", "size_s"):
        write_scores(results, run, np.full(40, 0.2))
    text = provenance(results, ["base_b", "size_s"], ["ablation"])
    assert "rendered people (no DeepFashion), profile synthetic" in text
    assert "seed 0, 40 test pairs a row" in text and "st_lpips not LPIPS" in text
    assert f"Warm-started from {init}, but from scratch: size_s" in text


def test_another_training_seed_is_named(results):
    runs = ["base_b", "no_mask"]
    for run in runs:
        write_scores(results, run, np.full(40, 0.2))
    assert "seed 0, " in provenance(results, runs, ["ablation"])
    other = with_settings(results, experiments={"no_mask": {"train": {"seed": 3}}})
    assert "seed 0 (of training also 3), " in provenance(other, runs, ["ablation"])


@pytest.mark.parametrize("rendered", [True, False])
@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_data_are_named_after_the_data_and_not_after_the_protocol(results, rendered, protocol):
    results = with_settings(results, evaluate={"protocol": protocol})
    if not rendered:
        own = {"rendered": None, "root": "data/index/mine", "raw": "data/raw/mine"}
        results = with_settings(results, data=own)
    write_scores(results, "base_b", np.full(40, 0.2))
    text = provenance(results, ["base_b"], ["ablation"])
    assert ("rendered people" in text) == rendered and ("data/index/mine" in text) != rendered
    assert ("st_lpips not LPIPS" in text) == (protocol == "synthetic")
    assert ("compares with theirs" in text) == (rendered or protocol == "synthetic")


def test_a_distance_of_few_pictures_is_marked_and_explained(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    path = results.root / "reports/scores/base_b.json"
    rows = json.loads(path.read_text())
    rows["ablation"] |= {"fd_effnet": 61.0, "few": {"fd_effnet": 1280}}
    path.write_text(json.dumps(rows))
    table = score_table("2a", results).set_index("method")
    cells = [str(cell) for cell in table.to_numpy().ravel()]
    assert f"61.0 {FEW}" in cells and f"0.200 {FEW}" not in cells
    assert "fewer pictures than features" in provenance(results, ["base_b"], ["ablation"])

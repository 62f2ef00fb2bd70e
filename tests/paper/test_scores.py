"""The runs' scores beside the paper's, and what they say about its claims."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.repository import ROOT

from xmdpt.config import load_config
from xmdpt.evaluation.protocols import PROTOCOLS
from xmdpt.metrics.labels import METRICS
from xmdpt.paper.claims import (
    COMPARISONS,
    FEWEST_PEOPLE,
    FEWEST_STEPS,
    Comparison,
    invariance_claim,
    judge,
    views_claim,
)
from xmdpt.paper.exhibits import NOTEBOOK_OF
from xmdpt.paper.published import scores
from xmdpt.paper.scores import (
    NOT_PRINTED,
    PRINTED,
    Results,
    provenance,
    score_table,
    training_in_words,
)

MIPNET = Comparison(
    "2a", "MIPNet helps", ("base_b", "ablation"), ("no_mask", "ablation"), metric="lpips"
)


def write_scores(
    root: Path, run: str, st_lpips: np.ndarray, ssim: float = 0.7, row: str = "ablation"
) -> None:
    """What the stage evaluate leaves of a run: two pairs of each person."""
    pairs = pd.DataFrame(
        {
            "row": row,
            "source": [f"source{n}" for n in range(len(st_lpips))],
            "target": [f"target{n}" for n in range(len(st_lpips))],
            "person": [f"{n // 2:03d}" for n in range(len(st_lpips))],
            "st_lpips": st_lpips,
            "ssim": ssim,
        }
    )
    reports = root / "reports"
    (reports / "scores").mkdir(parents=True, exist_ok=True)
    pairs.to_csv(reports / f"scores/{run}.tsv", sep="\t", index=False)
    values = {"st_lpips": float(st_lpips.mean()), "ssim": ssim, "count": float(len(pairs))}
    rows = {row: values, "truth": {"fd_effnet": 24.0, "count": 40.0}}
    (reports / f"scores/{run}.json").write_text(json.dumps(rows))


INIT = "data/pretrained/xmdpt-synthetic/transformer"


@pytest.fixture
def results(tmp_path):
    """Of runs from scratch, long enough to be judged."""
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/synthetic-full.yaml").read_text())
    return Results(tmp_path / "params.yaml")


@pytest.fixture
def warm(results):
    """The same, warm-started from weights without MIPNet."""
    params = results.root / "params.yaml"
    params.write_text(params.read_text().replace("  init: null  ", f"  init: {INIT}  "))
    shutil.copytree(ROOT / INIT, results.root / INIT)
    assert load_config(params).train.init == INIT
    return Results(results.params)


def gains(people: int, mean: float, noise: float = 0.0) -> np.ndarray:
    each = np.random.default_rng(0).standard_normal(2 * people)
    return mean + noise * (each - each.mean())


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
    write_scores(results.root, "no_mask", worse)
    write_scores(results.root, "base_b", worse - gains(people, mean, noise))
    claim = judge(MIPNET, results)
    assert claim.status == status
    assert claim.text == "MIPNet helps (Table 2a, st_lpips)"
    assert f"gain {mean:+.4f}" in claim.evidence
    few = " (below 8)" if people < FEWEST_PEOPLE else ""
    assert claim.evidence.endswith(f"on {2 * people} pairs of {people} people{few}")


def test_pairs_that_a_protocol_drops_are_not_counted(results):
    worse = np.full(40, 0.25)
    write_scores(results.root, "no_mask", worse)
    worse[[3, 7]] = np.nan
    write_scores(results.root, "base_b", worse - 0.1)
    claim = judge(MIPNET, results)
    assert claim.status == "supported" and "on 38 pairs of 20 people" in claim.evidence


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_has_something_for_the_papers_metrics(results, protocol):
    params = results.root / "params.yaml"
    settings = yaml.safe_load(params.read_text())
    settings["evaluate"]["protocol"] = protocol
    params.write_text(yaml.safe_dump(settings))
    results, rules = Results(params), PROTOCOLS[protocol]
    assert results.metric("fid") == rules.frechet[0].name
    assert results.metric("lpips") == rules.perceptual[0].name
    assert (results.metric("ssim"), results.metric("psnr")) == (rules.ssim[0].name, "psnr")
    assert {results.metric(name) for name in PRINTED} <= METRICS.keys()


def large_gain(results: Results, better: str, worse: str) -> Comparison:
    """A comparison of two runs that differ clearly, by more than noise."""
    write_scores(results.root, worse, np.full(40, 0.25))
    write_scores(results.root, better, np.full(40, 0.25) - gains(20, 0.1, 0.001))
    return Comparison("1", "It helps", (better, "ablation"), (worse, "ablation"))


def test_a_warm_start_on_one_side_alone_tells_nothing(warm):
    beats = large_gain(warm, "base_b", "size_s")
    params = warm.root / "params.yaml"
    settings = yaml.safe_load(params.read_text())
    settings["experiments"]["size_s"]["train"] = {"init": None}
    params.write_text(yaml.safe_dump(settings))
    claim = judge(beats, Results(warm.params))
    assert claim.status == "cannot tell"
    assert claim.evidence.endswith("one of the two alone is warm-started, or from other weights")


@pytest.mark.parametrize(
    ("worse", "changed"),
    [("canet_local", "canet_sources"), ("aggregation_add", "aggregation")],
)
def test_a_part_cut_out_of_trained_weights_is_no_ablation(warm, worse, changed):
    claim = judge(large_gain(warm, "base_b", worse), warm)
    assert claim.status == "cannot tell" and "gain +0.1000" in claim.evidence
    assert f"trained with one {changed}," in claim.evidence
    params = warm.root / "params.yaml"  # the same from scratch is one
    params.write_text(params.read_text().replace(INIT, "null"))
    assert judge(large_gain(warm, "base_b", worse), Results(warm.params)).status == "supported"


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
    settings = yaml.safe_load(results.params.read_text())
    settings["experiments"]["no_mask"]["train"] |= train
    results.params.write_text(yaml.safe_dump(settings))
    claim = judge(comparison, Results(results.params))
    assert claim.status == ("supported" if doubt is None else "cannot tell")
    assert doubt is None or claim.evidence.endswith(doubt)


def test_runs_that_were_drawn_in_another_way_are_not_compared(results):
    comparison = large_gain(results, "base_b", "no_mask")
    settings = yaml.safe_load(results.params.read_text())
    settings["experiments"]["no_mask"]["sample"] |= {"guidance_scale": 3.0, "batch_size": 1}
    results.params.write_text(yaml.safe_dump(settings))
    claim = judge(comparison, Results(results.params))
    assert claim.status == "cannot tell"
    assert claim.evidence.endswith("but they were drawn with another guidance_scale")


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


def test_another_seed_of_training_is_told(results):
    large_gain(results, "base_b", "no_mask")
    assert "seed 0, " in provenance(results, ["base_b", "no_mask"], ["ablation"])
    settings = yaml.safe_load(results.params.read_text())
    settings["experiments"]["no_mask"]["train"]["seed"] = 3
    results.params.write_text(yaml.safe_dump(settings))
    told = provenance(Results(results.params), ["base_b", "no_mask"], ["ablation"])
    assert "seed 0 (of training also 3), " in told


def test_numbers_as_names_stay_text(results):
    write_scores(results.root, "base_b", np.full(2, 0.2))
    path = results.root / "reports/scores/base_b.tsv"
    path.write_text(path.read_text().replace("source", "000").replace("000\t", "source\t", 1))
    assert list(results.pairs("base_b", "ablation").index) == [
        ("0000", "target0"),
        ("0001", "target1"),
    ]


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


def test_short_training_tells_nothing(results):
    comparison = large_gain(results, "base_b", "no_mask")
    assert results.steps("no_mask", "ablation") == FEWEST_STEPS
    params = results.root / "params.yaml"
    params.write_text(params.read_text().replace("ablation: 10000", "ablation: 9999"))
    claim = judge(comparison, Results(results.params))
    assert claim.status == "cannot tell"
    assert claim.evidence.endswith("but 9,999 steps are too few (below 10,000)")


@pytest.mark.parametrize("profile", ["synthetic-full", "paper", "paper-features-s-s"])
def test_real_trainings_are_long_enough_to_be_judged(profile):
    path = ROOT / f"profiles/{profile}.yaml"
    for run in load_config(path).runs:
        train = load_config(path, run).train
        assert train.init is None and min(train.checkpoints.values()) >= FEWEST_STEPS


def test_where_higher_is_better_the_gain_is_turned(results):
    for run, ssim in (("base_b", 0.75), ("no_mask", 0.7)):
        write_scores(results.root, run, np.full(40, 0.2), ssim)
    higher = Comparison("2a", "MIPNet helps", MIPNET.better, MIPNET.worse, "ssim")
    assert judge(higher, results).status == "supported"
    lower = Comparison("2a", "It harms", MIPNET.worse, MIPNET.better, "ssim")
    assert judge(lower, results).status == "not supported"


def test_only_pairs_that_both_drew_are_compared(results):
    write_scores(results.root, "base_b", np.full(40, 0.2))
    write_scores(results.root, "no_mask", np.full(24, 0.3))
    assert "gain +0.1000 (+0.1000 to +0.1000) on 24 pairs" in judge(MIPNET, results).evidence


def test_a_run_not_carried_out_is_named(results):
    write_scores(results.root, "base_b", np.full(40, 0.2))
    claim = judge(MIPNET, results)
    assert claim.status == "not run"
    assert claim.evidence == "no_mask (ablation) not among the runs of these settings"


def test_numbers_of_a_run_no_longer_in_the_settings_are_not_shown(results):
    write_scores(results.root, "no_mask", np.full(40, 0.2))
    settings = yaml.safe_load((results.root / "params.yaml").read_text())
    settings["runs"] = ["base_b"]
    (results.root / "params.yaml").write_text(yaml.safe_dump(settings))
    fresh = Results(results.params)
    assert fresh.rows("no_mask") == {} and fresh.pairs("no_mask", "ablation") is None


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
    assert {f"table_{one.table}" for one in COMPARISONS} <= set(NOTEBOOK_OF)


def test_a_row_of_features_is_filled_only_by_those_features(results):
    write_scores(results.root, "base_b", np.full(40, 0.2))
    assert "our st_lpips ↓" not in score_table("2c", results), "EfficientNet is not DINOv2"
    settings = yaml.safe_load(results.params.read_text())
    settings["features"] |= {
        "source_encoder": "weights/dinov2-giant",
        "pose_encoder": "facebook/dinov2-base",
    }
    results.params.write_text(yaml.safe_dump(settings))
    ours = score_table("2c", Results(results.params)).set_index("method")["our st_lpips ↓"]
    assert ours["Global (G) + Pose (B)"] == "0.200" and ours.notna().sum() == 1


def test_a_run_that_went_on_with_other_settings_is_not_judged(results):
    helps = large_gain(results, "base_b", "size_s")
    assert judge(helps, results).status == "supported"
    settings = yaml.safe_load(results.params.read_text())
    settings["experiments"]["size_s"]["train"] = {"resume": "state.pt"}
    results.params.write_text(yaml.safe_dump(settings))
    known = Results(results.params)
    assert judge(helps, known).status == "cannot tell"
    assert "in part with other settings" in training_in_words(known, ["base_b", "size_s"])
    assert training_in_words(known, []) == ""


def test_a_table_has_each_printed_row_and_ours_beside_it(results):
    write_scores(results.root, "base_b", np.full(40, 0.20314))
    write_scores(results.root, "aggregation_add", np.full(40, 0.3))
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


def test_rows_over_other_pairs_say_so(results):
    write_scores(results.root, "size_s", np.full(40, 0.2))
    write_scores(results.root, "base_b", np.full(40, 0.2))
    assert "our pairs" not in score_table("1", results)
    assert "40 test pairs a row" in provenance(results, ["size_s", "base_b"], ["ablation"])
    write_scores(results.root, "base_b", np.full(16, 0.2))
    table = score_table("1", results).set_index(["method", "paper's steps"])
    assert table.loc[("X-MDPT-S", "300,000"), "our pairs"] == "40"
    assert table.loc[("X-MDPT-B", "300,000"), "our pairs"] == "16"
    assert table.loc[("X-MDPT-L", "350,000"), "our pairs"] is None
    text = provenance(results, ["size_s", "base_b"], ["ablation", "main"])
    assert "test pairs a row: 16 or 40 at ablation; a Fréchet distance falls" in text


def test_limits_stand_where_their_size_was_run(results):
    write_scores(results.root, "base_b", np.full(40, 0.2))
    small, large = (score_table("1", results, size).set_index("method") for size in (256, 512))
    assert small.loc["Ground truth", "our fd_effnet ↓"] == "24.0"
    assert not [column for column in large if column.startswith("our")]
    (results.root / "reports/scores/base_b.json").unlink()
    write_scores(results.root, "mask_50", np.full(40, 0.2))
    one = score_table("1", results).set_index("method")
    assert one.loc["Ground truth", "our fd_effnet ↓"] == "24.0", "any run's will do"


@pytest.mark.parametrize("profile", sorted((ROOT / "profiles").glob("*.yaml")))
def test_runs_that_settings_do_not_have_are_not_spoken_of(profile, tmp_path):
    (tmp_path / "params.yaml").write_text(profile.read_text())
    known = Results(tmp_path / "params.yaml")
    text = training_in_words(known, ["no_mask", "base_b", "size_l_512"])
    done = [run for run in ("no_mask", "base_b", "size_l_512") if run in known.config.runs]
    assert text.count(" from ") == len(done)


def test_provenance_says_what_the_numbers_stand_on(tmp_path):
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/synthetic.yaml").read_text())
    results = Results(tmp_path / "params.yaml")
    nothing = provenance(results, ["base_b"], ["ablation"])
    assert nothing == "Ours: none of these runs is carried out by the profile synthetic."
    for run in ("base_b", "size_s"):
        write_scores(results.root, run, np.full(40, 0.2))
    text = provenance(results, ["base_b", "size_s"], ["ablation"])
    assert "rendered people (no DeepFashion), profile synthetic" in text
    assert "seed 0, 40 test pairs a row" in text and "st_lpips not LPIPS" in text
    assert f"Warm-started from {INIT}, but from scratch: size_s" in text


@pytest.mark.parametrize("rendered", [True, False])
@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_data_are_named_after_the_data_and_not_after_the_protocol(results, rendered, protocol):
    params = results.root / "params.yaml"
    settings = yaml.safe_load(params.read_text())
    settings["evaluate"]["protocol"] = protocol
    if not rendered:
        settings["data"] |= {"rendered": None, "root": "data/index/mine", "raw": "data/raw/mine"}
    params.write_text(yaml.safe_dump(settings))
    write_scores(results.root, "base_b", np.full(40, 0.2))
    text = provenance(Results(results.params), ["base_b"], ["ablation"])
    assert ("rendered people" in text) == rendered and ("data/index/mine" in text) != rendered
    assert ("st_lpips not LPIPS" in text) == (protocol == "synthetic")
    assert ("compares with theirs" in text) == (rendered or protocol == "synthetic")


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

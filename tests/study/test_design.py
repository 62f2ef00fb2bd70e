"""claims.yaml: what it says agrees with what the paper prints, and mistakes in it are named."""

import pytest
import yaml
from helpers.repository import ROOT

from xmdpt.config import ConfigError, load_config
from xmdpt.paper.published import scores
from xmdpt.study.design import BASE, load_design
from xmdpt.study.runs import DRAWINGS
from xmdpt.study.workers import all_runs, follow_up_runs

DESIGN = load_design(ROOT / "claims.yaml")


def test_printed_values_are_the_papers():
    printed = {
        metric: {float(getattr(row, metric)) for row in scores() if row.run}
        for metric in ("fid", "lpips", "ssim")
    }
    for claim in DESIGN.claims.values():
        assert claim.paper is None or {*claim.paper} <= printed[claim.metric], claim.claim


def test_a_printed_claim_is_true_of_the_printed_values():
    for claim in DESIGN.claims.values():
        if claim.paper is not None:
            better, worse = claim.paper
            assert (better > worse) == (claim.metric == "ssim"), claim.claim


def test_every_row_of_tables_1_and_2_is_in_a_claim():
    used = {row for claim in DESIGN.claims.values() for row in (claim.better, claim.worse)}
    trends = DESIGN.trends.values()
    assert used | {row for t in trends for row in (t.base_b, t.mdt, t.no_mask)} == {*DESIGN.rows}
    paper = {row.run for row in scores() if row.run and row.table != "2c"} - {"size_l_512"}
    assert paper <= used


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(margin=2), "margin: Input should be less than 1"),
        (lambda tree: tree.update(delta=1), "delta: Extra inputs are not permitted"),
        (lambda tree: tree["claims"]["noise"].update(better="base_c"), "'base_c' is not among"),
        (lambda tree: tree["trends"]["width"].update(mdt="mdt_z"), "width: 'mdt_z' is not among"),
        (lambda tree: tree["claims"]["noise"].update(worse="base_b"), "with itself"),
        (lambda tree: tree["claims"]["noise"].update(metric="fd"), "claims.noise.metric"),
        (
            lambda tree: tree["follow_ups"]["length"].update(claims=["x"]),
            "length: 'x' is not among",
        ),
        (
            lambda tree: tree["claims"]["noise"].update(better="other_noise", worse="size_s"),
            "noise: 'other_noise' is drawn by base_b's weights",
        ),
        (
            lambda tree: tree["trends"]["full"].update(base_b="guidance_low"),
            "trends.full: 'guidance_low' is drawn by base_b's weights",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    tree = yaml.safe_load((ROOT / "claims.yaml").read_text())
    tree["registered"] = str(tree["registered"])
    change(tree)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match=message) as caught:
        load_design(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_file_and_no_yaml(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_design(tmp_path / "claims.yaml")
    (tmp_path / "claims.yaml").write_text("claims: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_design(tmp_path / "claims.yaml")
    (tmp_path / "claims.yaml").write_bytes(b"registered: \xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_design(tmp_path / "claims.yaml")


def test_the_profile_trains_every_row_and_compares_like_with_like():
    tree = yaml.safe_load((ROOT / "profiles/study.yaml").read_text())
    assert {*DESIGN.same_weights} == {*DRAWINGS[BASE]}
    trained = {run.row for run in (*all_runs(DESIGN), *follow_up_runs(DESIGN))}
    assert {*tree["experiments"]} == trained
    config = {row: load_config(ROOT / "profiles/study.yaml", row) for row in tree["experiments"]}
    for claim in DESIGN.claims.values():
        rows = [BASE if row in DRAWINGS[BASE] else row for row in (claim.better, claim.worse)]
        steps = {config[row].train.steps for row in rows}
        assert len(steps) == 1 or claim.place.startswith("Section 4.1"), claim.claim
    for trend in DESIGN.trends.values():
        rows = [config[row] for row in (trend.base_b, trend.mdt, trend.no_mask)]
        assert [row.model.mip_attention for row in rows] == ["self_cross", "self", "none"]
        alike = [row.model.model_dump(exclude={"mip_attention"}) for row in rows]
        assert alike == alike[:1] * 3
        assert all(row.train == rows[0].train and row.sample == rows[0].sample for row in rows)


def test_follow_ups_are_further_rows_of_one_seed():
    runs = follow_up_runs(DESIGN)
    assert len({run.row for run in runs}) == len(runs) and {run.seed for run in runs} == {0}
    assert [run.seed for run in follow_up_runs(DESIGN, [5])] == [5] * len(runs)
    drawn = {row for run in runs for row in DRAWINGS.get(run.row, ())}
    named = {row for one in DESIGN.follow_ups.values() for row in one.rows}
    assert named == drawn | {run.row for run in runs}
    assert not named & {*DESIGN.rows}, "or they would be judged"


def test_nothing_that_the_profile_trains_learns_from_a_judge():
    config = load_config(ROOT / "profiles/study.yaml")
    assert config.vae.perceptual_weight == 0
    assert not config.vae.train_encoder

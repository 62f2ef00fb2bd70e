"""claims.yaml: what it says agrees with what the paper prints, and mistakes in it are named."""

import pytest
import yaml
from helpers.repository import ROOT

from xmdpt.config import ConfigError
from xmdpt.paper.published import scores
from xmdpt.study.design import load_design

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
    assert used == {*DESIGN.rows}
    paper = {row.run for row in scores() if row.run and row.table != "2c"} - {"size_l_512"}
    assert paper <= used


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(margin=2), "margin: Input should be less than 1"),
        (lambda tree: tree.update(delta=1), "delta: Extra inputs are not permitted"),
        (lambda tree: tree["claims"]["noise"].update(better="base_c"), "'base_c' is not among"),
        (lambda tree: tree["claims"]["noise"].update(worse="base_b"), "with itself"),
        (lambda tree: tree["claims"]["noise"].update(metric="fd"), "claims.noise.metric"),
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

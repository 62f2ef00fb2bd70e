"""The study's verdicts on the page of another run."""

import json
import shutil

import numpy as np
import pytest
from helpers.repository import ROOT
from helpers.results import TWICE_READ, results_of, write_scores

from xmdpt.config import ConfigError
from xmdpt.paper.exhibits import EXHIBITS
from xmdpt.study.beside import PAGE, VERDICTS, claims_of, exhibit_of
from xmdpt.study.design import load_design

DESIGN = load_design(ROOT / "claims.yaml")


@pytest.fixture
def study(tmp_path):
    """Results below a study that has decided everything."""
    results = results_of(tmp_path, **TWICE_READ)
    shutil.copy(ROOT / "claims.yaml", results.root)
    line = {
        "judged by": "st_lpips", "better, worse": "0.100, 0.110", "gain": "+9.0 % (+5.0 to +13.0)",
        "status": "supported", "verdict": "supported",
    }  # fmt: skip
    lines = [{"name": name, **line} for name in DESIGN.claims]
    (results.root / PAGE).mkdir(parents=True)
    (results.root / PAGE / VERDICTS).write_text(json.dumps(lines))
    return results


def test_claims_belong_to_exhibits():
    exhibits = {name: exhibit_of(claim) for name, claim in DESIGN.claims.items()}
    assert {name for name in exhibits.values() if name} <= {*EXHIBITS}
    assert exhibits["mipnet_mdt"] == "table_2a" and exhibits["mlp_add"] == "table_2e"
    assert exhibits["longer_fid"] == "table_1" and exhibits["vae"] is None


def test_a_verdict_stands_beside_what_the_run_says(study):
    write_scores(study, "no_mask", np.full(40, 0.25))
    write_scores(study, "base_b", np.full(40, 0.2))
    said = {claim.text: claim for claim in claims_of("table_2a", study)}
    claim = said["In LPIPS MDT's masking is no help, the plain transformer is better (Table 2(a))"]
    assert claim.status == "supported"
    assert claim.evidence == (
        "study: st_lpips 0.100, 0.110, gain +9.0 % (+5.0 to +13.0); this run: mdt (ablation) not "
        "among the runs of these settings"
    )
    assert claim.live == "mdt (ablation) not among the runs of these settings"
    text = "MIPNet improves all metrics over the plain transformer, LPIPS too (Table 2(a))"
    assert "this run: st_lpips 0.200 and 0.250, gain +0.0500" in said[text].evidence


def test_early_rows_are_early_checkpoints_and_drawings_have_no_run(study):
    evidence = {claim.text: claim.evidence for claim in claims_of("table_1", study)}
    early = evidence["X-MDPT-B beats X-MDPT-S early in training (Table 1, 300k steps)"]
    assert "base_b (ablation) and size_s (ablation)" in early
    late = evidence["X-MDPT-B beats X-MDPT-S (Table 1, 800k steps)"]
    assert "base_b (main) and size_s (main)" in late
    [noise] = claims_of("figure_15", study)
    assert "this run" not in noise.evidence


def test_what_qualifies_a_verdict_is_said_and_nothing_before_the_study_has_run(study):
    path = study.root / PAGE / VERDICTS
    lines = json.loads(path.read_text())
    for line in lines:
        line |= {"status": "cannot tell", "verdict": "cannot tell; would have seen 6.0 %"}
    path.write_text(json.dumps(lines))
    [claim] = claims_of("figure_15", study)
    assert claim.status == "cannot tell" and claim.evidence.endswith("; would have seen 6.0 %")
    for line in lines:
        line |= {"status": "under way", "verdict": "1 of 3 seeds", "gain": "+2 %"}
    path.write_text(json.dumps(lines))
    [claim] = claims_of("figure_15", study)
    assert claim.status == "under way"
    assert claim.evidence.endswith("gain +2 %; 1 of 3 seeds")
    for line in lines:
        line |= {"status": "not run", "verdict": "not run", "gain": "", "better, worse": ""}
    path.write_text(json.dumps(lines))
    [claim] = claims_of("figure_15", study)
    assert (claim.status, claim.evidence) == ("not run", "")
    path.unlink()
    with pytest.raises(ConfigError, match="`xmdpt study report` writes it"):
        claims_of("figure_15", study)

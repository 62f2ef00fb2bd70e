"""No account of W&B, and a folder of its own for what is logged."""

import json
import shutil
import sys
import types

import pandas as pd
import pytest
from helpers.finished import finished
from helpers.repository import ROOT
from matplotlib.figure import Figure

from xmdpt.paper.exhibits import Claim, Exhibit, write_exhibit

VARIABLES = ("API_KEY", "IDENTITY_TOKEN_FILE", "MODE", "BASE_URL", "PROJECT")


@pytest.fixture
def no_account(tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if isinstance(wandb := sys.modules.get("wandb"), types.ModuleType):
        wandb.teardown()  # it keeps the variables that it began with


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A folder as the stages of one run leave it, to be copied."""
    return finished(tmp_path_factory.mktemp("finished"), ["base_b"])


@pytest.fixture(scope="session")
def photographed(tmp_path_factory):
    """The miniature of DeepFashion, to be copied: its 90 pictures are rendered once."""
    from helpers.miniature import write_people

    return write_people(tmp_path_factory.mktemp("miniature") / "deepfashion")


@pytest.fixture
def reproduced(no_account):
    """A folder as a finished run of two exhibits leaves it, and the study before its first run."""
    shutil.copy(ROOT / "profiles/synthetic.yaml", no_account / "params.yaml")
    (no_account / "dvc.lock").write_text("schema: '2.0'\n")
    study = no_account / "reports/reference/study"
    study.mkdir(parents=True)
    shutil.copy(ROOT / "reports/reference/study/verdicts.json", study)
    drawn = Figure(figsize=(2, 1))
    drawn.subplots().plot([0, 1], [1, 0])
    frame = pd.DataFrame({"method": ["Transformer", "a | b"], "our SSIM": ["0.5", "0.6"]})
    claim = Claim("MIPNet beats it (Table 2(a))", "supported", "study: 1 | 2; this run: gain +0.1")
    more = {"tables": {"table_2a": frame}, "claims": (claim,)}
    write_exhibit(Exhibit("table_2a", "Table 2(a). Parts", "As printed.", "On people.", **more))
    figures = {"figure_6": drawn}
    write_exhibit(Exhibit("figure_6", "Figure 6. Scale", "Larger.", "On people.", figures=figures))
    scores = no_account / "reports/scores"
    scores.mkdir()
    values = {"ablation": {"ssim": 0.5, "st_lpips": 0.3, "count": 4.0}}
    (scores / "no_mask.json").write_text(json.dumps(values))
    return no_account

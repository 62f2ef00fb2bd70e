"""Exhibits made side by side: recorded as the graph would, and one that fails leaves the others."""

import os
import subprocess
import sys

import pytest
import yaml
from helpers.repository import ROOT

from xmdpt.config import ConfigError
from xmdpt.stages.exhibits import PAGE, STAGES, make_exhibits
from xmdpt.stages.graph import stale_stages

NAMES = ["table_3", "table_5", "figure_1"]
GRAPH = {
    "stages": {
        "costs": {"cmd": "echo 1 > reports/costs.json", "outs": ["reports/costs.json"]},
        "from_costs": {
            "matrix": {"exhibit": [*NAMES, "bad"]},
            "cmd": f"python -m helpers.exhibit ${{item.exhibit}} {' '.join(NAMES)}",
            "deps": ["reports/costs.json"],
            "outs": ["reports/exhibits/${item.exhibit}"],
        },
        PAGE: {
            "cmd": "cat reports/exhibits/*/table.csv > page",
            "deps": ["reports/exhibits"],
            "outs": ["page"],
        },
    }
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    (tmp_path / "reports").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    )
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


@pytest.mark.slow
def test_stale_exhibits_are_made_at_once_and_recorded(project):
    with pytest.raises(ConfigError, match=r"costs: not up to date, .* `dvc repro evaluate costs`"):
        next(make_exhibits(3))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "costs"], check=True)
    made = {one.stage: one for one in make_exhibits(3)}
    assert {stage: one.succeeded for stage, one in made.items()} == {"from_costs@bad": False} | {
        f"from_costs@{name}": True for name in NAMES
    }
    assert "costs.json: a bad row" in made["from_costs@bad"].said
    for name in NAMES:
        assert (project / f"reports/exhibits/{name}/table.csv").read_text() == f"1\n{name}"
    assert stale_stages() == ["from_costs@bad", PAGE], "the others are up to date"


def test_the_exhibits_are_the_stages_of_the_papers_notebooks_and_need_none_of_each_other():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(STAGES) == [name for name in stages if "notebooks/paper/" in stages[name]["cmd"]]
    assert PAGE in stages
    for name in STAGES:
        for out in stages[name]["outs"]:
            assert out.startswith(("reports/exhibits/", "reports/notebooks/"))
        for path in stages[name]["deps"]:
            assert not path.startswith(("reports/exhibits", "reports/notebooks")), "what one made"

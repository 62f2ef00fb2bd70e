"""Runs trained ahead of the graph: it finds them finished, and they are what it would have made."""

import os
import subprocess
import sys

import pytest
import yaml
from helpers.projects import write_project
from helpers.repository import ROOT

from xmdpt.config import ConfigError
from xmdpt.stages.ahead import stale_runs, train_ahead
from xmdpt.stages.kept import drop_recorded

WEIGHTS = "main/diffusion_pytorch_model.safetensors"
GRAPH = {
    "stages": {
        "train": {
            "matrix": {"run": "${runs}"},
            "cmd": "python -m helpers.stage ${item.run}",
            "params": ["train"],
            "outs": ["models/${item.run}"],
        }
    }
}
RUNS = {"base_b": {"title": "B"}, "plain": {"title": "plain", "model": {"mip_attention": "none"}}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    write_project(tmp_path, RUNS, checkpoints={"main": 6}, batch_size=4, save_every=3)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


def repro() -> None:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], env=env, check=True)


@pytest.mark.slow
def test_the_graph_finds_what_was_trained_ahead(project):
    assert stale_runs() == ["base_b", "plain"]
    assert dict(train_ahead(2)) == {"base_b": True, "plain": True}
    ahead = {run: (project / "models" / run / WEIGHTS).read_bytes() for run in RUNS}
    repro()
    for run, weights in ahead.items():
        assert (project / f"{run}.steps").read_text() == "0", "nothing was left to train"
        assert (project / "models" / run / WEIGHTS).read_bytes() == weights
    drop_recorded(project)
    assert not [*project.glob("models/.*partial*")], "no state is left behind"
    assert stale_runs() == [] and [*train_ahead(2)] == []


@pytest.mark.slow
def test_one_run_that_fails_leaves_the_others(project):
    settings = yaml.safe_load((project / "params.yaml").read_text())
    settings["experiments"]["plain"]["train"] = {"init": "nowhere"}
    (project / "params.yaml").write_text(yaml.safe_dump(settings))
    assert dict(train_ahead(2)) == {"base_b": True, "plain": False}
    assert (project / "models/base_b").is_dir() and not (project / "models/plain").exists()


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`dvc repro features` makes it"):
        next(train_ahead(1))
    with pytest.raises(ConfigError, match="dvc status: "):
        stale_runs()

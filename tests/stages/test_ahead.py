"""Runs trained ahead of the graph: it finds them finished, and they are what it would have made."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from helpers.projects import write_project
from helpers.repository import ROOT

from xmdpt.config import ConfigError
from xmdpt.stages import alone
from xmdpt.stages.ahead import Ahead, make_ahead, stale_work
from xmdpt.stages.kept import drop_recorded
from xmdpt.support import progress

WEIGHTS = "main/diffusion_pytorch_model.safetensors"
OUTPUTS = {"train": "models", "sample": "data/samples", "evaluate": "reports/scores"}
DEPENDS = {"train": [], "sample": ["models/${item.run}"], "evaluate": ["data/samples/${item.run}"]}
GRAPH = {
    "stages": {
        stage: {
            "matrix": {"run": "${runs}"},
            "cmd": f"python -m helpers.stage {stage} ${{item.run}}",
            "deps": DEPENDS[stage],
            "params": [stage],
            "outs": [f"{folder}/${{item.run}}{'.json' * (stage == 'evaluate')}"],
        }
        for stage, folder in OUTPUTS.items()
    }
}
RUNS = {"base_b": {"title": "B"}, "plain": {"title": "plain", "model": {"mip_attention": "none"}}}
ALL = ("train", "sample", "evaluate")


def set_params(project, **changes) -> None:
    """Change parts of params.yaml."""
    settings = yaml.safe_load((project / "params.yaml").read_text())
    for part, values in changes.items():
        settings[part] |= values
    (project / "params.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture
def project(tmp_path, monkeypatch):
    write_project(tmp_path, RUNS, checkpoints={"main": 6}, batch_size=4, save_every=3)
    set_params(tmp_path, sample={"num_inference_steps": 2, "precision": "fp32"})
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


def repro(*stages: str) -> None:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "dvc", "repro", "-q", *stages]
    subprocess.run(command, env=env, check=True)


def made(project) -> dict[str, int]:
    """When each picture and each row of scores that stages go on from was written."""
    paths = [*project.glob("data/samples/.*partial*/main/*.png")]
    paths += project.glob("data/cache/scores/*/*/rows-*.json")
    return {path.relative_to(project).as_posix(): path.stat().st_mtime_ns for path in paths}


@pytest.mark.slow
def test_the_graph_finds_what_was_made_ahead(project):
    both = [Ahead("base_b", ALL), Ahead("plain", ALL)]
    assert stale_work() == both
    assert dict(make_ahead(2)) == dict.fromkeys(both, True)
    ahead = {run: (project / "models" / run / WEIGHTS).read_bytes() for run in RUNS}
    written = made(project)
    assert all(any(f"scores/{run}/" in name for name in written) for run in RUNS)
    repro()
    for run, weights in ahead.items():
        assert (project / f"{run}.steps").read_text() == "0", "nothing was left to train"
        assert (project / "models" / run / WEIGHTS).read_bytes() == weights
        scores = json.loads((project / f"reports/scores/{run}.json").read_text())
        assert scores["main"]["count"] == sum(f"/.{run}." in name for name in written)
    assert made(project) == written, "nothing was left to draw or to score"
    drop_recorded(project)
    assert not [*project.glob("models/.*partial*")], "no state is left behind"
    assert stale_work() == [] and [*make_ahead(2)] == []

    set_params(project, sample={"guidance_scale": 1.5})
    rest = [Ahead(run, ALL[1:]) for run in RUNS]
    assert stale_work() == rest, "what is trained stays"
    assert dict(make_ahead(2)) == dict.fromkeys(rest, True)
    assert not made(project).keys() <= written.keys()


@pytest.mark.slow
def test_one_run_that_fails_leaves_the_others(project):
    broken = RUNS | {"plain": RUNS["plain"] | {"train": {"init": "nowhere"}}}
    set_params(project, experiments=broken)
    done = {job.run: succeeded for job, succeeded in make_ahead(2)}
    assert done == {"base_b": True, "plain": False}
    assert (project / "models/base_b").is_dir() and not (project / "models/plain").exists()


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`dvc repro features` makes it"):
        next(make_ahead(1))
    with pytest.raises(ConfigError, match="dvc status: "):
        stale_work()


def test_a_training_in_a_log_says_how_far_it_is(capsys, monkeypatch, tmp_path):
    def train_run(config, features, out, on_log):
        for step in (100, 200, 300):
            on_log({"step": step, "loss": 0.5})

    monkeypatch.setattr(progress, "SAY_EVERY", 0.0)
    monkeypatch.setattr(alone, "require_features", lambda: None)
    monkeypatch.setattr(alone, "features_of", lambda run: tmp_path)
    monkeypatch.setattr(alone, "train_run", train_run)
    alone.train_alone("base_b", tmp_path / "out", [])
    assert "base_b: step 300 of" in capsys.readouterr().err

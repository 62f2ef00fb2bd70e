"""What a stage was given and made, as W&B sees it: dvc.yaml's paths and DVC's own digests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.repository import ROOT
from helpers.wandb_runs import folders, read_run
from helpers.wandb_server import KEY, wandb_server

from xmdpt.config import load_config
from xmdpt.stages.lineage import Piece, inputs, outputs, own_stage, read_stage
from xmdpt.stages.tracking import track

pytestmark = pytest.mark.usefixtures("no_account")
CONFIG = load_config(ROOT / "profiles/synthetic.yaml").model_dump()
GRAPH = {
    "stages": {
        "features": {
            "cmd": "true",
            "deps": ["code.py", "${data.root}"],
            "outs": ["data/cache/features"],
        },
        "train": {
            "matrix": {"run": "${runs}"},
            "cmd": "true",
            "deps": ["code.py", "data/cache/features", "${data.root}/test.lst"],
            "outs": ["models/${item.run}", "reports/notebooks/train-${item.run}.ipynb"],
        },
        "prepare": {"cmd": "true", "outs": [{"${data.root}": {"persist": True}}]},
    }
}
FILES = {
    "code.py": "pass", "data/synthetic/test.lst": "a", "data/synthetic/img/a.png": "b",
    "data/cache/features/index.json": "{}", "models/base_b/main/weights": "w",
    "reports/notebooks/train-base_b.ipynb": "{}",
}  # fmt: skip


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A finished graph in miniature, recorded by DVC itself."""
    root = tmp_path_factory.mktemp("graph")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    settings = {"runs": ["base_b"], "data": {"root": "data/synthetic"}}
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    own_dvc = [sys.executable, "-m", "dvc"]
    for command in (
        ["git", "init", "-q"], [*own_dvc, "init", "-q"], [*own_dvc, "commit", "-f", "-q"],
    ):  # fmt: skip
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    return root


@pytest.fixture
def project(graph, tmp_path, monkeypatch):
    """A copy of the graph, in which a stage is carried out."""
    shutil.copytree(graph, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "train@base_b")
    return tmp_path


def recorded() -> dict[str, str]:
    """Path -> digest, as DVC has it."""
    stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def test_the_digests_are_those_of_dvc(project):
    stage, known = own_stage(CONFIG), recorded()
    assert inputs(stage) == [
        Piece(path, known[path]) for path in ("data/cache/features", "data/synthetic")
    ]
    assert outputs(stage) == [Piece("models/base_b", known["models/base_b"])]
    Path("models/base_b/main/weights").write_text("others")
    assert outputs(stage) != [Piece("models/base_b", known["models/base_b"])]


def test_outside_dvc_nothing_is_given_or_made(project, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    assert inputs(own_stage(CONFIG)) == outputs(own_stage(CONFIG)) == []


def test_every_stage_that_logs_is_understood():
    for stage, makes in {
        "prepare": ["data/synthetic"],
        "vae": ["models/vae"],
        "features": ["data/cache/features"],
        "train@size_l": ["models/size_l"],
        "sample@size_l": ["data/samples/size_l"],
    }.items():
        found = read_stage(stage, CONFIG, ROOT / "dvc.yaml")
        assert [path for path in found.makes if not path.startswith("reports/")] == makes
        assert not any("$" in path for path in found.makes + found.depends)
    assert {"models/vae", "models/size_l", "data/synthetic"} <= {
        *read_stage("sample@size_l", CONFIG, ROOT / "dvc.yaml").depends
    }


def test_offline_a_run_holds_what_it_was_given_and_made(project):
    with track("train", "base_b", CONFIG):
        pass
    known = recorded()
    run = read_run(folders(project)[0])
    given = ("data/cache/features", "data/synthetic")
    assert run.config["inputs"] == {path: known[path] for path in given}
    (made,) = run.artifacts
    digest = known["models/base_b"]
    assert (made["name"], made["type"]) == ("models-base_b", "model")
    assert {*made["aliases"]} == {"latest", digest[:12]}
    assert [entry["ref"] for entry in made["manifest"]["contents"]] == [f"dvc://{digest}"]


def test_a_stage_that_fails_has_made_nothing(project):
    with pytest.raises(FloatingPointError), track("train", "base_b", CONFIG):
        raise FloatingPointError
    assert read_run(folders(project)[0]).artifacts == []


def test_online_inputs_are_used_and_outputs_made(project, monkeypatch):
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        with track("train", "base_b", CONFIG):
            pass
    names = {number: one["artifactCollectionName"] for number, one in server.artifacts.items()}
    assert [names.pop(number) for number in server.used] == [
        "data-cache-features",
        "data-synthetic",
    ]
    assert [*names.values()] == ["models-base_b"]

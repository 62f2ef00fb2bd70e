"""A run of the study at tiny size: what it leaves, and that nothing finished is made again."""

import json
import shutil
import subprocess

import pytest
import yaml
from helpers.networks import make_vae
from helpers.people import write_dataset
from helpers.repository import ROOT

from xmdpt.config import ConfigError, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.make import Encoders, cache_features
from xmdpt.study import runs, workers
from xmdpt.study.design import Design
from xmdpt.study.runs import carry_out, score_baselines
from xmdpt.study.scores import read_drawing, read_drawings, scores_of
from xmdpt.study.status import as_text, collect
from xmdpt.study.workers import Run, all_runs, carry_out_all, check_commit, select
from xmdpt.support.notices import Stopped


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with people, an autoencoder, features and settings, as the stages leave them."""
    root = tmp_path_factory.mktemp("project")
    write_dataset(root / "data/people", people=4, views=2, test_people=2)
    vae = make_vae(64, scaling_factor=0.5)
    for folder in ("models/vae", "untuned"):
        vae.save_pretrained(root / folder)
    tree = yaml.safe_load((ROOT / "profiles/recipe.yaml").read_text())
    tree["profile"] = "study"
    tree["data"]["root"] = str(root / "data/people")
    tree["vae"]["init"] = str(root / "untuned")
    tree["model"] |= {"hidden_size": 32, "depth": 3, "patch_size": 2, "decode_layers": 1}
    tree["train"] |= {
        "checkpoints": {"main": 4}, "batch_size": 2, "ema_decay": 0.4, "warmup_steps": 0,
        "decay_steps": 2, "compile": False, "save_every": 2, "log_every": 1, "precision": "fp32",
    }  # fmt: skip
    tree["sample"] |= {"num_inference_steps": 2, "checkpoints": {"main": None}}
    tree["runs"] = ["base_b", "plain", "colours"]
    tree["experiments"] = {
        "base_b": {"title": "B", "model": {"mip_attention": "self_cross"}},
        "plain": {"title": "plain"},
        "colours": {"title": "colours", "features": {"source_encoder": "colours"}},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(tree))
    config = load_config(root / "params.yaml")
    data = DeepFashion(config.data.root, 64)
    names = data.pictures("train") + data.pictures("test")
    encoders = Encoders.load(vae, config.features)
    cache_features(root / "data/cache/features", names, data, encoders, config.features, iter)
    return root


@pytest.fixture(scope="module")
def made(project):
    """What the rows and seeds of a small study leave, by file name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for row in ("base_b", "plain", "colours"):
            for seed in (0, 1):
                carry_out("params.yaml", row, seed, "kept")
        return {path.name: path.read_bytes() for path in (project / "kept").iterdir()}


def test_each_row_and_seed_leaves_a_file_and_base_b_those_of_its_other_drawings(made):
    rows = ("base_b", "plain", "colours", "guidance_low", "other_noise", "vae_as_it_was")
    trained = rows[:3]
    assert {*made} == {
        f"{row}-{seed}.{kind}"
        for row in rows
        for seed in (0, 1)
        for kind in ("json", "jpg", *(["tsv"] if row in trained else []))
    }
    drawing = json.loads(made["plain-1.json"])
    assert drawing["train"]["seed"] == 1 and drawing["model"]["mip_attention"] == "none"
    assert drawing["samples"] == 8 and drawing["count"] == 4 and len(drawing["people"]) == 2
    assert drawing["commit"] and drawing["sample"]["guidance_scale"] == 2
    low = json.loads(made["guidance_low-1.json"])
    assert low["sample"]["guidance_scale"] == 1.5 and low["train"] == drawing["train"]


def test_drawings_differ_where_they_should(made):
    means = {
        name.removesuffix(".json"): json.loads(content)["means"]
        for name, content in made.items()
        if name.endswith(".json")
    }
    assert means["vae_as_it_was-0"] == means["base_b-0"], "the same autoencoder here"
    for other in ("guidance_low-0", "other_noise-0", "base_b-1", "plain-0", "colours-0"):
        assert means[other] != means["base_b-0"], other


def test_finished_runs_are_kept_and_missing_ones_are_made_alike(made, project, monkeypatch):
    monkeypatch.chdir(project)
    assert carry_out("params.yaml", "plain", 0, "kept") == []
    [again] = carry_out("params.yaml", "plain", 0, "elsewhere", "other_work")
    assert (project / "elsewhere/plain-0.jpg").read_bytes() == made["plain-0.jpg"]
    first, second = json.loads(made["plain-0.json"]), json.loads(again.read_text())
    apart = {"minutes": None, "digest": None}
    assert second | apart == first | apart


def test_the_minutes_before_an_interruption_count(project, monkeypatch):
    monkeypatch.chdir(project)
    seconds = iter([0.0, 120.0, 500.0, 560.0])
    monkeypatch.setattr(runs, "process_time", lambda: next(seconds))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(runs, "train_run", stops)
        carry_out("params.yaml", "plain", 1, "interrupted", "interrupted_work")
    [made] = carry_out("params.yaml", "plain", 1, "interrupted", "interrupted_work")
    assert json.loads(made.read_text())["minutes"] == 3.0
    made.unlink()
    [again] = carry_out("params.yaml", "plain", 1, "interrupted", "interrupted_work")
    assert json.loads(again.read_text())["minutes"] == 3.0, "of finished weights too"


def test_weights_of_other_features_are_not_drawn_with(project, tmp_path, monkeypatch):
    """As after another autoencoder, or of other people, with the same settings of the training."""
    place, folders = shutil.copytree(project, tmp_path / "project"), []

    def train(config, features, folder, on_log):
        folders.append(folder.name)
        raise Stopped

    monkeypatch.chdir(place)
    monkeypatch.setattr(runs, "train_run", train)
    index = place / "data/cache/features/index.json"
    own = json.loads(index.read_text())
    for key in (own["key"], "another", own["key"]):
        index.write_text(json.dumps(own | {"key": key}))
        with pytest.raises(Stopped):
            carry_out("params.yaml", "plain", 0, "again", "other_features")
    first, other, again = folders
    assert first == again != other


def stops(*_):
    raise Stopped


def test_baselines_and_all_runs_together_are_read_as_arrays(made, project, monkeypatch, tmp_path):
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(project)
    assert len(score_baselines("params.yaml", tmp_path)) == 5
    assert score_baselines("params.yaml", tmp_path) == []
    scores = scores_of(read_drawings(tmp_path), tmp_path, ["st_lpips", "fd_effnet"], [0, 1])
    assert scores["st_lpips"].values.shape == (6, 2, 2)
    assert scores["fd_effnet"].values.shape == (6, 2, 2)
    truth = read_drawing(tmp_path / "truth-0.json")
    assert truth["means"] == {} and truth["distances"]["fd_effnet"]["whole"] > 0


SEEDS = Design.model_validate(
    {
        "registered": "", "level": 0.05, "margin": 0.02, "seeds": [0, 1],
        "rows": {"base_b": "", "plain": "", "guidance_low": ""},
        "same_weights": ["guidance_low"], "trends": {}, "claims": {},
    }
)  # fmt: skip


def test_runs_are_seed_by_seed_and_finished_ones_left_out(made, tmp_path):
    runs = all_runs(SEEDS)
    assert [str(run) for run in runs] == [
        "base_b, seed 0", "plain, seed 0", "base_b, seed 1", "plain, seed 1",
    ]  # fmt: skip
    for name, content in made.items():
        if name != "other_noise-1.json":
            (tmp_path / name).write_bytes(content)
    assert select(runs, tmp_path) == [Run("base_b", 1)], "one of its drawings is missing"
    assert select(runs, tmp_path, ["plain"]) == []
    with pytest.raises(ConfigError, match="--rows: the study trains no 'plane'"):
        select(runs, tmp_path, ["plane"])


def test_a_study_goes_on_in_processes_and_a_failed_run_hides_no_other(project, monkeypatch):
    monkeypatch.chdir(project)
    out = project / "by_workers"
    made = carry_out_all("params.yaml", [Run("nobody", 0), Run("plain", 0)], out, 2)
    assert next(made) == Run("plain", 0)
    with pytest.raises(RuntimeError, match="failed: nobody, seed 0"):
        next(made)
    assert as_text(collect(SEEDS, out)).splitlines()[-1].startswith("1 of 4 runs, ")


def test_runs_of_another_code_are_not_mixed_in(made, project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    (tmp_path / "plain-0.json").write_bytes(made["plain-0.json"])
    check_commit(tmp_path)
    monkeypatch.setattr(workers, "code_commit", lambda: "abc")
    with pytest.raises(ConfigError, match="a study is of one code"):
        check_commit(tmp_path)


def test_the_commit_is_that_of_the_code_that_runs(tmp_path, monkeypatch):
    """In a copy of another commit, `xmdpt` of this environment is still this code."""
    here = runs.code_commit()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    assert runs.code_commit() == here

"""A run of the study at tiny size: what it leaves, and that nothing finished is made again."""

import json

import pytest
import yaml
from helpers.networks import make_vae
from helpers.people import write_dataset
from helpers.repository import ROOT

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.make import Encoders, cache_features
from xmdpt.study.runs import carry_out
from xmdpt.study.scores import read_scores


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with people, an autoencoder, features and settings, as the stages leave them."""
    root = tmp_path_factory.mktemp("project")
    write_dataset(root / "data/people", people=4, views=2, test_people=2)
    vae = make_vae(64, scaling_factor=0.5)
    for folder in ("models/vae", "untuned"):
        vae.save_pretrained(root / folder)
    tree = yaml.safe_load((ROOT / "profiles/race.yaml").read_text())
    tree["data"]["root"] = str(root / "data/people")
    tree["vae"]["init"] = str(root / "untuned")
    tree["model"] |= {"hidden_size": 32, "depth": 3, "patch_size": 2, "decode_layers": 1}
    tree["train"] |= {
        "checkpoints": {"main": 4}, "batch_size": 2, "ema_decay": 0.4, "warmup_steps": 0,
        "decay_steps": 2, "compile": False, "save_every": 2, "log_every": 1, "precision": "fp32",
    }  # fmt: skip
    tree["sample"] |= {"num_inference_steps": 2, "checkpoints": {"main": None}}
    tree["runs"] = ["base_b", "plain"]
    tree["experiments"] = {
        "base_b": {"title": "B", "model": {"mip_attention": "self_cross"}},
        "plain": {"title": "plain"},
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
        for row in ("base_b", "plain"):
            for seed in (0, 1):
                carry_out("params.yaml", row, seed, "kept")
        return {path.name: path.read_bytes() for path in (project / "kept").iterdir()}


def test_each_row_and_seed_leaves_a_file_and_base_b_those_of_its_other_drawings(made):
    rows = ("base_b", "plain", "guidance_low", "other_noise", "vae_as_it_was")
    assert {*made} == {f"{row}-{seed}.json" for row in rows for seed in (0, 1)}
    drawing = json.loads(made["plain-1.json"])
    assert drawing["train"]["seed"] == 1 and drawing["model"]["mip_attention"] == "none"
    assert drawing["samples"] == 8 and drawing["count"] == 4 and len(drawing["people"]) == 2
    assert drawing["commit"] and drawing["profile"] == "race"


def test_drawings_differ_where_they_should(made):
    people = {name: json.loads(content)["people"] for name, content in made.items()}
    assert people["vae_as_it_was-0.json"] == people["base_b-0.json"], "the same autoencoder here"
    for other in ("guidance_low-0", "other_noise-0", "base_b-1", "plain-0"):
        assert people[f"{other}.json"] != people["base_b-0.json"], other


def test_finished_runs_are_kept_and_missing_ones_are_made_alike(made, project, monkeypatch):
    monkeypatch.chdir(project)
    assert carry_out("params.yaml", "plain", 0, "kept") == []
    [again] = carry_out("params.yaml", "plain", 0, "elsewhere")
    first, second = json.loads(made["plain-0.json"]), json.loads(again.read_text())
    assert second | {"minutes": None} == first | {"minutes": None}


def test_all_runs_together_are_read_as_arrays(made, project, tmp_path):
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "copy_source-0.json").write_bytes(made["plain-0.json"])
    scores = read_scores(tmp_path, ["st_lpips", "fd_effnet"])
    assert scores["st_lpips"].values.shape == (5, 2, 2)
    assert scores["fd_effnet"].values.shape == (5, 2, 2)

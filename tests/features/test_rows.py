"""Which features a run trains on."""

import json

import numpy as np
import pytest
import torch
import yaml
from helpers.networks import make_vae
from helpers.people import write_dataset
from helpers.repository import ROOT

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.cache import FeatureCache
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import OWN, SHARED, features_of


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "data/people", people=3, views=2)
    tree = yaml.safe_load((ROOT / "profiles/study.yaml").read_text())
    tree["data"]["root"] = "data/people"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    vae = make_vae(64, scaling_factor=0.5)
    vae.save_pretrained("models/vae")
    config, data = load_config(), DeepFashion("data/people", 64)
    encoders = Encoders.load(vae, config.features)
    cache_features(SHARED, data.pictures("train"), data, encoders, config.features, iter)
    return tmp_path


def test_runs_share_features_but_those_with_encoders_of_their_own(project):
    assert features_of("base_b") == features_of("mask_70") == SHARED
    folder = features_of("features_colours")
    assert folder == OWN / "features_colours"
    own, shared = FeatureCache(folder), FeatureCache(SHARED)
    assert own.shape("source_tokens") == (17, 44) and shared.shape("source_tokens") == (17, 516)
    row, flip = np.array([3]), np.array([1])
    colours = own.read("source_tokens", row, flip)
    torch.testing.assert_close(colours, shared.read("source_tokens", row, flip)[..., -44:])
    for array in ("moments", "pose_tokens"):
        assert torch.equal(own.read(array, row, flip), shared.read(array, row, flip))


def test_its_own_features_are_made_once_and_again_where_pictures_changed(project):
    shard = features_of("features_colours") / "00000.safetensors"
    first = shard.stat().st_ino
    features_of("features_colours")
    assert shard.stat().st_ino == first, "nothing is done where they are there"
    shard.write_bytes(shard.read_bytes()[:-1])
    features_of("features_colours")
    assert shard.stat().st_ino != first, "a damaged file is made again"
    picture = project / "data/people" / FeatureCache(SHARED).names[0]
    other = project / "data/people" / FeatureCache(SHARED).names[1]
    key = json.loads((OWN / "features_colours/index.json").read_text())["key"]
    picture.write_bytes(other.read_bytes())
    features_of("features_colours")
    assert json.loads((OWN / "features_colours/index.json").read_text())["key"] != key


def test_its_own_features_are_made_again_by_other_code(project, monkeypatch):
    """An encoder without weights is its code alone."""
    shard = features_of("features_colours") / "00000.safetensors"
    first, key = shard.stat().st_ino, FeatureCache(shard.parent).key
    monkeypatch.setattr("xmdpt.features.make.code_key", lambda *patterns: "another")
    features_of("features_colours")
    assert shard.stat().st_ino != first and FeatureCache(shard.parent).key == key

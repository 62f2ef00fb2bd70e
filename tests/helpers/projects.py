"""A folder as the stages before `train` leave it: people, an autoencoder, features, settings."""

from pathlib import Path
from typing import Any

import yaml

from helpers.networks import make_vae
from helpers.people import write_dataset
from helpers.repository import ROOT
from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import SHARED

TINY = {"hidden_size": 32, "depth": 3, "decode_layers": 1}


def write_project(root: Path, experiments: dict[str, Any], **train: Any) -> Path:
    """Write a tiny version of the profile `study` with these runs, trained in float32."""
    write_dataset(root / "data/people", people=6, views=3, test_people=2)
    tree = yaml.safe_load((ROOT / "profiles/study.yaml").read_text())
    tree["data"]["root"] = str(root / "data/people")
    tree["model"] |= TINY
    tree["train"] |= {
        "ema_decay": 0.5, "warmup_steps": 0, "decay_steps": 0, "compile": False,
        "precision": "fp32", "log_every": 1, **train,
    }  # fmt: skip
    tree["runs"], tree["experiments"] = [*experiments], experiments
    (root / "params.yaml").write_text(yaml.safe_dump(tree))
    make_vae(64, scaling_factor=0.5).save_pretrained(root / "models/vae")
    make_features(root)
    return root


def make_features(root: Path) -> None:
    """Cache the features that the settings ask for."""
    config, data = load_config(root / "params.yaml"), DeepFashion(root / "data/people", 64)
    names = data.pictures("train") + data.pictures("test")
    encoders = Encoders.load(make_vae(64, scaling_factor=0.5), config.features)
    cache_features(root / SHARED, names, data, encoders, config.features, iter)

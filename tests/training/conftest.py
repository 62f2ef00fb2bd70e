"""Cached features of drawn people, settings of a run on them, and trainers."""

import pytest
from helpers.networks import make_model
from helpers.people import SIZE

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.cache import FeatureCache, PairBatches
from xmdpt.features.encoders import make_encoder
from xmdpt.features.make import Encoders, cache_features
from xmdpt.training.train import Trainer


@pytest.fixture(scope="session")
def data(people):
    return DeepFashion(people, SIZE)


@pytest.fixture(scope="session")
def cached(data, tiny_vae, tmp_path_factory):
    """A function that caches features, of all people by default; settings can be changed."""
    network = make_encoder("efficientnet_lite0")
    encoders = Encoders(tiny_vae, network, network)
    everything = data.pictures("train") + data.pictures("test")
    base = load_config("profiles/smoke.yaml").features

    def make(names=everything, **changes):
        folder = tmp_path_factory.mktemp("cache") / "features"
        settings = base.model_copy(update=changes)
        cache_features(folder, names, data, encoders, settings, iter, shard_size=4)
        return folder

    return make


@pytest.fixture(scope="session")
def features(cached):
    return cached()


@pytest.fixture(scope="session")
def config(people):
    base = load_config("profiles/smoke.yaml")
    model = {"hidden_size": 32, "depth": 3, "num_heads": 2, "decode_layers": 1, "patch_size": 2}
    train = {
        "init": None,
        "batch_size": 4,
        "checkpoints": {"ablation": 2, "main": 6},
        "save_every": 3,
        "log_every": 1,
        "learning_rate": 1e-3,
    }
    return base.model_copy(
        update={
            "data": base.data.model_copy(update={"root": str(people), "size": SIZE}),
            "model": base.model.model_copy(update=model),
            "train": base.train.model_copy(update=train),
        }
    )


@pytest.fixture(scope="session")
def batches(features, data):
    return PairBatches(FeatureCache(features), data.targets("train"), 0)


@pytest.fixture(scope="session")
def trainer(batches, config):
    """A function that makes a trainer of a tiny model; settings of `train` can be changed."""

    def make(randomize=True, **changes):
        settings = config.train.model_copy(update=changes)
        return Trainer(make_model(randomize), batches, settings)

    return make

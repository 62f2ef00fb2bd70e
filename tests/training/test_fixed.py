"""The loss on fixed pairs: it moves with the weights alone, and watching it moves no weight."""

import pytest
import torch
from helpers.networks import make_model

from xmdpt.features.cache import FeatureCache
from xmdpt.training import run
from xmdpt.training.fixed import PAIRS, FixedLoss
from xmdpt.training.run import build_model, train_run

NAMES = {"fixed_mse", "fixed_masked_mse"}


@pytest.fixture
def fixed(features, data, config):
    """A function that makes the loss for an objective."""
    cache = FeatureCache(features)

    def make(objective="epsilon", pairs=None):
        train = config.train.model_copy(update={"objective": objective})
        patches = build_model(config, cache).num_patches
        return FixedLoss(cache, data.pairs("test") if pairs is None else pairs, train, patches)

    return make


@pytest.mark.parametrize("objective", ["epsilon", "flow"])
def test_it_moves_with_the_weights_alone(fixed, features, config, objective):
    model = build_model(config, FeatureCache(features)).eval()
    loss = fixed(objective)
    torch.manual_seed(1)
    first = loss(model, "fp32")
    torch.manual_seed(2)
    assert fixed(objective)(model, "fp32") == first and {*first} == NAMES
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.1)
    assert all(loss(model, "fp32")[name] != first[name] for name in NAMES)


def test_the_error_of_nothing_is_that_of_the_noise(fixed, features, config):
    """A fresh model predicts zero, so what is left is the mean square of the noise."""
    loss = fixed()
    with torch.no_grad():
        model = build_model(config, FeatureCache(features)).eval()
        for weight in model.final_layer.parameters():
            weight.zero_()
    expected = loss.batch["noise"].square().mean().item()
    assert loss(model, "fp32")["fixed_mse"] == pytest.approx(expected, rel=1e-5)
    assert sorted(loss.batch["t"] * 4 // 1000) == [*range(PAIRS)], "one for each quarter"


def test_without_mipnet_there_is_no_masked_pass_and_without_pairs_nothing(fixed, features, config):
    plain = config.model_copy(
        update={"model": config.model.model_copy(update={"mip_attention": "none"})}
    )
    model = build_model(plain, FeatureCache(features)).eval()
    assert {*fixed()(model, "fp32")} == {"fixed_mse"}
    assert fixed(pairs=[])(make_model(), "fp32") == {}


def test_watching_changes_no_weight(features, config, tmp_path, monkeypatch):
    seen = train_run(config, features, tmp_path / "watched")
    assert NAMES | {"weight_norm", "learning_rate"} <= {*seen.columns}
    assert [*seen["learning_rate"]] == pytest.approx([config.train.learning_rate] * len(seen))
    monkeypatch.setattr(run, "_watch", lambda *_: lambda trainer: {})
    blind = train_run(config, features, tmp_path / "blind")
    assert not NAMES & {*blind.columns}
    assert seen["loss"].equals(blind["loss"])
    for checkpoint in config.train.checkpoints:
        file = f"{checkpoint}/diffusion_pytorch_model.safetensors"
        watched, alone = (tmp_path / name / file for name in ("watched", "blind"))
        assert watched.read_bytes() == alone.read_bytes()


def test_the_norm_is_that_of_the_trained_weights(features, config, tmp_path):
    short = config.train.model_copy(update={"checkpoints": {"main": 1}, "ema_decay": 0.0})
    rows = train_run(config.model_copy(update={"train": short}), features, tmp_path / "run")
    model = make_model().from_pretrained(tmp_path / "run/main")
    norm = torch.stack([weight.norm() for weight in model.parameters()]).norm().item()
    assert rows["weight_norm"].iloc[-1] == pytest.approx(norm, rel=1e-5)

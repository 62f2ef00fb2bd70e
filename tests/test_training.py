"""Training: keyed randomness, exact resuming, checkpoints, and the errors that stop it."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SIZE, make_model

from xmdpt.config import ConfigError, load_config
from xmdpt.data.cache import Encoders, FeatureCache, PairBatches, cache_features, sample_latent
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.encoders import make_encoder
from xmdpt.random import batch_indices, keyed_generator
from xmdpt.training.ema import EMA
from xmdpt.training.run import train_run, warm_start
from xmdpt.training.train import Trainer, TrainingError, draw_batch
from xmdpt.training.vae import train_vae


@pytest.fixture(scope="module")
def data(people):
    return DeepFashion(people, SIZE)


@pytest.fixture(scope="module")
def encoders(tiny_vae):
    network = make_encoder("efficientnet_lite0")
    return Encoders(tiny_vae, network, network)


@pytest.fixture(scope="module")
def features(data, encoders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "features"
    cache_features(folder, data.pictures("train"), data, encoders, batch_size=4, progress=iter)
    return folder


@pytest.fixture(scope="module")
def config(people):
    base = load_config("profiles/smoke.yaml")
    return base.model_copy(
        update={
            "data": base.data.model_copy(update={"root": str(people), "size": SIZE}),
            "model": base.model.model_copy(
                update={"hidden_size": 32, "depth": 3, "num_heads": 2, "decode_layers": 1}
            ),
            "train": base.train.model_copy(
                update={
                    "init": None,
                    "batch_size": 4,
                    "checkpoints": {"ablation": 2, "main": 6},
                    "save_every": 3,
                    "log_every": 1,
                    "learning_rate": 1e-3,
                }
            ),
        }
    )


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def batches_of(features, data, seed=0):
    return PairBatches(FeatureCache(features), data.pairs("train"), seed)


# Keyed randomness


def test_batches_are_whole_shuffled_epochs():
    drawn = torch.cat([batch_indices(3, step, 4, 10) for step in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()
    assert torch.equal(batch_indices(3, 4, 4, 10), drawn[16:])


def test_keys_tell_generators_apart():
    draws = {
        torch.rand(1, generator=keyed_generator(*keys)).item()
        for keys in ((0,), (0, "a"), (0, "b"), (1, "a"), (0, "a", 1))
    }
    assert len(draws) == 5


def test_a_batch_depends_on_seed_and_step_alone(features, data, config):
    first, again = (draw_batch(batches_of(features, data), config.train, 16, 5) for _ in range(2))
    other = draw_batch(batches_of(features, data, seed=1), config.train, 16, 5)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
        assert not torch.equal(value, other[name]), name


# Cached features


@torch.no_grad()
def test_cache_equals_encoding_on_the_fly(features, data, encoders):
    cache = FeatureCache(features)
    name = data.pictures("train")[4]
    picture, skeleton = data.picture(name)[None], data.skeleton(name)[None]
    row = np.array([cache.rows[name]])
    for flip in (0, 1):
        step = -1 if flip else 1
        fresh = encoders(picture[:, :, ::step].copy(), skeleton[:, :, ::step].copy())
        moments = cache.read("moments", row, np.array([flip]))
        torch.testing.assert_close(moments, fresh["moments"], rtol=1e-5, atol=1e-5)
        for kind in ("source_tokens", "pose_tokens"):
            stored = cache.read(kind, row, np.array([flip]))
            torch.testing.assert_close(stored, fresh[kind], rtol=1e-2, atol=1e-2)


def test_latent_is_drawn_from_the_posterior(tiny_vae):
    moments = torch.randn(1, 8, 4, 4)
    noise = torch.randn(1, 4, 4, 4)
    mean, log_variance = moments.chunk(2, dim=1)
    expected = 0.5 * (mean + log_variance.mul(0.5).exp() * noise)
    torch.testing.assert_close(sample_latent(moments, noise, 0.5), expected)


def test_interrupted_caching_resumes_without_doing_work_twice(data, encoders, tmp_path):
    names = data.pictures("train")
    seen = []

    def stop_after_one(steps):
        for step in steps:
            if seen:
                raise KeyboardInterrupt
            seen.append(step)
            yield step

    def count(steps):
        for step in steps:
            seen.append(step)
            yield step

    folder = tmp_path / "features"
    with pytest.raises(KeyboardInterrupt):
        cache_features(folder, names, data, encoders, 4, stop_after_one)
    assert not folder.exists()
    cache_features(folder, names, data, encoders, 4, count)
    assert seen == [0, 4, 8]
    cache_features(tmp_path / "whole", names, data, encoders, 4, iter)
    for name in ("moments", "source_tokens", "pose_tokens"):
        assert (folder / f"{name}.npy").read_bytes() == (
            tmp_path / "whole" / f"{name}.npy"
        ).read_bytes()


def test_missing_cache_names_the_stage(tmp_path):
    with pytest.raises(DataError, match="features"):
        FeatureCache(tmp_path)


# Training


def test_resuming_equals_training_on(features, data, config, tmp_path):
    whole = tmp_path / "whole"
    history = train_run(config, features, whole)
    stopped = tmp_path / "stopped"

    def stop(row):
        if row["step"] == 5:  # after the state of step 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(config, features, stopped, stop)
    assert not stopped.exists()
    seen = []
    resumed = train_run(config, features, stopped, lambda row: seen.append(row["step"]))
    assert seen == [4, 5, 6]
    pd.testing.assert_frame_equal(resumed, history, check_dtype=False, rtol=1e-5)
    for checkpoint in ("ablation", "main"):
        file = f"{checkpoint}/diffusion_pytorch_model.safetensors"
        assert (stopped / file).read_bytes() == (whole / file).read_bytes()


def test_training_lowers_the_loss(features, data, config):
    settings = config.train.model_copy(update={"learning_rate": 3e-3, "precision": "fp32"})
    trainer = Trainer(make_model(randomize=False), batches_of(features, data), settings)
    losses = [report.losses["mse"] for report in trainer.run(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_the_rate_rises_stays_and_falls(features, data, config):
    settings = config.train.model_copy(
        update={"learning_rate": 0.1, "warmup_steps": 2, "decay_steps": 4, "grad_clip": 1e-9}
    )
    trainer = Trainer(make_model(), batches_of(features, data), settings)
    rates = [trainer.optimizer.param_groups[0]["lr"] for _ in trainer.run(settings.steps)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])


def test_nothing_is_written_over_by_a_loss_that_is_not_a_number(features, data, config, tmp_path):
    trainer = Trainer(make_model(), batches_of(features, data), config.train)
    list(trainer.run(2))
    trainer.save(tmp_path / "state.pt")
    before = weights(trainer.model).clone()
    with torch.no_grad():
        trainer.model.final_layer.linear.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="step 2: the loss is nan"):
        list(trainer.run(3))
    trainer.load(tmp_path / "state.pt")
    assert trainer.step == 2
    assert torch.equal(weights(trainer.model), before)


def test_ema_is_the_weighted_sum_of_all_weights():
    model = torch.nn.Linear(1, 1, bias=False)
    values = [1.0, 4.0, -2.0]
    model.weight.data.fill_(values[0])
    ema = EMA(model, decay=0.9)
    for value in values[1:]:
        model.weight.data.fill_(value)
        ema.update(model)
    expected = 0.81 * values[0] + 0.09 * values[1] + 0.1 * values[2]
    assert ema.model.weight.item() == pytest.approx(expected)


def test_condition_dropout_of_one_ignores_the_conditions(features, data, config):
    settings = config.train.model_copy(update={"condition_dropout": 1.0, "precision": "fp32"})
    trainer = Trainer(make_model(), batches_of(features, data), settings)
    batch = draw_batch(trainer.batches, settings, 16, 0)
    with torch.no_grad():
        first = trainer.module(batch)["mse"]
        again = trainer.module(batch | {"pose_tokens": batch["pose_tokens"] + 1})["mse"]
    assert torch.equal(first, again)


def test_warm_start_lets_mipnet_alone_differ(tmp_path):
    source = make_model(mip_attention="none")
    source.save_pretrained(tmp_path)
    model = make_model(randomize=False)
    fresh = warm_start(model, str(tmp_path))
    assert fresh
    assert all(name.startswith("mipnet.") for name in fresh)
    assert torch.equal(model.pos_embed, source.pos_embed)
    with pytest.raises(ConfigError, match="does not fit"):
        warm_start(make_model(aggregation="concat"), str(tmp_path))
    with pytest.raises(ConfigError, match="holds no model"):
        warm_start(model, str(tmp_path / "absent"))


# The autoencoder


@pytest.mark.parametrize("init", ["somewhere", None])
def test_fine_tuning_leaves_the_encoder_alone(data, config, tiny_vae, init):
    import copy

    vae = copy.deepcopy(tiny_vae)
    settings = config.vae.model_copy(
        update={"init": init, "steps": 2, "crop": 32, "learning_rate": 1e-2, "kl_weight": 1e-3}
    )
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    names = data.pictures("train")
    pictures = np.stack([data.picture(name) for name in names])
    steps = list(train_vae(vae, lambda rows: pictures[rows], len(names), settings, seed=0))
    assert [progress.step for progress in steps] == [1, 2]
    same = {
        part: all(
            torch.equal(value, before[name])
            for name, value in vae.state_dict().items()
            if name.startswith(part)
        )
        for part in ("encoder.", "quant_conv.", "decoder.")
    }
    frozen = init is not None
    assert same == {"encoder.": frozen, "quant_conv.": frozen, "decoder.": False}

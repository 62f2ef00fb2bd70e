"""Training: keyed randomness, exact resuming, checkpoints, and the errors that stop it."""

import shutil
import time

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.networks import make_model
from helpers.people import SIZE

from xmdpt.config import ConfigError, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import views_of_people
from xmdpt.features.cache import FeatureCache, PairBatches
from xmdpt.features.encoders import make_encoder
from xmdpt.features.make import Encoders, cache_features
from xmdpt.support.files import forget
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.ema import EMA
from xmdpt.training.invariance import InvarianceProbe
from xmdpt.training.run import build_model, train_run, warm_start
from xmdpt.training.train import (
    READERS,
    Trainer,
    TrainingError,
    TrainingModule,
    draw_batch,
    read_ahead,
)


@pytest.fixture(scope="module")
def data(people):
    return DeepFashion(people, SIZE)


@pytest.fixture(scope="module")
def encoders(tiny_vae):
    network = make_encoder("efficientnet_lite0")
    return Encoders(tiny_vae, network, network)


@pytest.fixture(scope="module")
def settings():
    return load_config("profiles/smoke.yaml").features


@pytest.fixture(scope="module")
def features(data, encoders, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "features"
    names = data.pictures("train") + data.pictures("test")
    cache_features(folder, names, data, encoders, settings, iter, shard_size=4)
    return folder


@pytest.fixture(scope="module")
def config(people):
    base = load_config("profiles/smoke.yaml")
    return base.model_copy(
        update={
            "data": base.data.model_copy(update={"root": str(people), "size": SIZE}),
            "model": base.model.model_copy(
                update={
                    "hidden_size": 32,
                    "depth": 3,
                    "num_heads": 2,
                    "decode_layers": 1,
                    "patch_size": 2,
                }
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
    return PairBatches(FeatureCache(features), data.targets("train"), seed)


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


def test_a_target_comes_with_any_of_its_sources(features, data, monkeypatch):
    """As in the authors' code: a target with many sources counts as much as one with one."""
    names = data.pictures("train")
    cache = FeatureCache(features)
    rows_read = []
    read = cache.read
    monkeypatch.setattr(
        cache, "read", lambda array, rows, flips: rows_read.append(rows) or read(array, rows, flips)
    )
    batches = PairBatches(cache, [(names[0], tuple(names[1:4])), (names[4], (names[5],))], 0)
    batches.batch(0, torch.arange(300) % 2)
    both = np.stack(rows_read[-2:], axis=1)  # the latents' rows: source and target, or swapped
    first, second = both[::2], both[1::2]
    counts = [(first == cache.rows[name]).any(axis=1).sum() for name in names[1:4]]
    assert (first == cache.rows[names[0]]).any(axis=1).all()
    assert sum(counts) == 150 and min(counts) > 30
    assert {*second.flatten()} == {cache.rows[names[4]], cache.rows[names[5]]}


def test_a_batch_has_the_targets_pose_the_sources_tokens_and_one_flip(features, data, monkeypatch):
    calls, cache = [], FeatureCache(features)
    read = cache.read
    monkeypatch.setattr(cache, "read", lambda *call: calls.append(call) or read(*call))
    PairBatches(cache, data.targets("train"), 0).batch(0, torch.arange(8))
    arrays, rows, flips = zip(*calls, strict=True)
    assert arrays == ("pose_tokens", "source_tokens", "moments", "moments")
    pose, tokens, source, target = rows
    assert (pose == target).all() and (tokens == source).all() and (source != target).all()
    assert all((each == flips[0]).all() for each in flips) and {*flips[0]} == {0, 1}


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_reading_ahead_keeps_the_order_and_a_few_batches_in_store(count):
    drawn = []
    taken = []
    for batch in read_ahead(lambda step: drawn.append(step) or step, range(3, 3 + count)):
        taken.append(batch)
        time.sleep(0.02)
        assert len(drawn) <= len(taken) + READERS
    assert sorted(drawn) == taken == list(range(3, 3 + count))


# Training


def test_a_step_descends_all_of_equation_5(features, data, config):
    settings = config.train.model_copy(update={"precision": "fp32"})
    trainer = Trainer(make_model(), batches_of(features, data), settings)
    hand = TrainingModule(make_model().train(), settings.condition_dropout)
    losses = hand(draw_batch(trainer.batches, settings, 16, 0))
    sum(losses[k].mean() for k in ("mse", "vb", "masked_mse", "masked_vb")).backward()
    norm = torch.stack([p.grad.norm() for p in hand.parameters()]).norm().item()
    assert next(trainer.run(1)).grad_norm == pytest.approx(norm, rel=1e-4)


def stop_at_five(row):
    if row["step"] == 5:  # after the checkpoint of step 2 and the state of step 3
        raise KeyboardInterrupt


def trained_with(config, **settings):
    return config.model_copy(update={"train": config.train.model_copy(update=settings)})


def test_resuming_equals_training_on(features, data, config, tmp_path):
    whole = tmp_path / "whole"
    history = train_run(config, features, whole)
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train_run(config, features, stopped, stop_at_five)
    assert not stopped.exists()
    seen = []
    resumed = train_run(config, features, stopped, lambda row: seen.append(row["step"]))
    assert seen == [4, 5, 6]
    pd.testing.assert_frame_equal(resumed, history)
    for checkpoint in ("ablation", "main"):
        file = f"{checkpoint}/diffusion_pytorch_model.safetensors"
        assert (stopped / file).read_bytes() == (whole / file).read_bytes()


def test_a_finished_run_that_is_deleted_comes_back_until_it_is_forgotten(
    features, data, config, tmp_path
):
    """DVC deletes the outputs of a stage that failed behind the training, before the next try."""
    out = tmp_path / "run"
    history = train_run(config, features, out, keep=True)
    files = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert not [path for path in files if path.name == "state.pt"]
    shutil.rmtree(out)
    steps = []
    again = train_run(config, features, out, lambda row: steps.append(row["step"]), keep=True)
    assert steps == []
    pd.testing.assert_frame_equal(again, history)
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} == files
    forget(out)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_goes_on_from_a_state_with_other_settings(features, data, config, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_run(config, features, out, stop_at_five)
    (state,) = tmp_path.glob(".run.partial-*/state.pt")
    changed = trained_with(
        config, resume=str(state), grad_clip=1e-3, checkpoints={"ablation": 2, "main": 7}
    )
    steps = []
    history = train_run(changed, features, out, lambda row: steps.append(row["step"]))
    assert steps == [4, 5, 6, 7]
    assert history["step"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    weights_file = "ablation/diffusion_pytorch_model.safetensors"
    assert (out / weights_file).read_bytes() == (state.parent / weights_file).read_bytes()
    assert state.exists(), "what other settings left is not deleted"


def test_a_state_is_taken_up_with_the_weight_decay_of_now(features, data, config, tmp_path):
    before = Trainer(make_model(), batches_of(features, data), config.train)
    before.save(tmp_path / "state.pt")
    settings = config.train.model_copy(update={"weight_decay": 0.05})
    after = Trainer(make_model(), batches_of(features, data), settings)
    after.load(tmp_path / "state.pt")
    assert [group["weight_decay"] for group in after.optimizer.param_groups] == [0.05]


def test_without_clipping_gradients_stay_as_they_are(features, data, config):
    settings = config.train.model_copy(update={"precision": "fp32", "learning_rate": 0.0})
    norms = []
    for clip in (None, 1e9, 1e-3):
        changed = settings.model_copy(update={"grad_clip": clip})
        trainer = Trainer(make_model(), batches_of(features, data), changed)
        norms.append(next(trainer.run(1)).grad_norm)
    assert norms[0] == norms[1] == norms[2] > 1e-3, "the norm before clipping"


def test_a_state_that_does_not_fit_is_refused(features, data, config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_run(config, features, tmp_path / "run", stop_at_five)
    (state,) = tmp_path.glob(".run.partial-*/state.pt")
    other = config.model.model_copy(update={"mask_ratio": 0.5})
    alone, broken = tmp_path / "alone/state.pt", tmp_path / "broken.pt"
    alone.parent.mkdir()
    alone.write_bytes(state.read_bytes())
    broken.write_bytes(state.read_bytes()[:1000])
    on = trained_with(config, resume=str(state))
    for refused, message in (
        (trained_with(on, checkpoints={"ablation": 2, "main": 3}), "nothing was kept at 3"),
        (trained_with(on, checkpoints={"ablation": 1, "main": 6}), "kept it at step 2"),
        (on.model_copy(update={"model": other}), "a model with another mask_ratio;"),
        (trained_with(config, resume=str(alone)), "alone/ablation is not there"),
        (trained_with(config, resume=str(broken)), "not the state of a training"),
        (trained_with(config, resume=str(tmp_path / "absent.pt")), "no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            train_run(refused, features, tmp_path / "other")


def test_an_automatic_precision_is_kept_by_the_state(features, data, config, tmp_path, monkeypatch):
    """It is measured, and the measurement may turn out otherwise in the process that goes on."""
    automatic = config.train.model_copy(update={"precision": "auto"})
    for faster in (False, True):
        monkeypatch.setattr(
            "xmdpt.support.precision.multiplies_bf16", lambda device, said=faster: said
        )
        trainer = Trainer(make_model(), batches_of(features, data), automatic)
        trainer.save(tmp_path / f"{faster}.pt")
    trainer.load(tmp_path / "False.pt")
    assert trainer.precision == "fp32"
    chosen = automatic.model_copy(update={"precision": "bf16"})
    trainer = Trainer(make_model(), batches_of(features, data), chosen)
    trainer.load(tmp_path / "False.pt")
    assert trainer.precision == "bf16"


def test_gradient_checkpointing_changes_no_number(features, data, config):
    reports = []
    for on in (False, True):
        settings = config.train.model_copy(update={"gradient_checkpointing": on})
        trainer = Trainer(make_model(), batches_of(features, data), settings)
        assert trainer.model.is_gradient_checkpointing is on
        reports.append(list(trainer.run(2)))
    assert reports[0] == reports[1]


def test_a_training_seed_of_its_own_stands_for_the_seed(features, data, config, tmp_path):
    def losses(name, seed, own):
        train = config.train.model_copy(update={"seed": own, "checkpoints": {"main": 2}})
        run = config.model_copy(update={"seed": seed, "train": train})
        return train_run(run, features, tmp_path / name)["loss"].tolist()

    assert losses("own", 0, 7) == losses("profile's", 7, None)
    assert losses("other", 0, 8) != losses("again", 0, None)


def test_source_tokens_on_the_fly_train_the_same(
    features, data, encoders, settings, config, tmp_path
):
    """Stored in fp32 or made from stored photos: the same losses, up to the batches of sums."""
    losses = []
    for changes in ({"storage": "fp32"}, {"storage": "fp32", "source_tokens": "on_the_fly"}):
        changed = settings.model_copy(update=changes)
        folder = tmp_path / str(len(losses))
        names = data.pictures("train") + data.pictures("test")
        cache_features(folder, names, data, encoders, changed, iter)
        fp32 = config.train.model_copy(update={"precision": "fp32"})
        history = train_run(config.model_copy(update={"train": fp32}), folder, tmp_path / "run")
        losses.append(history["loss"])
    pd.testing.assert_series_equal(*losses, rtol=1e-4)


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


def test_min_snr_weighs_the_gradient_and_not_the_reported_loss(features, data, config):
    reports = {}
    for gamma in (None, 1e9, 1e-9):  # above every ratio; far below, so that all but nothing is left
        settings = config.train.model_copy(update={"snr_gamma": gamma, "precision": "fp32"})
        trainer = Trainer(make_model(), batches_of(features, data), settings)
        reports[gamma] = next(trainer.run(1))
    assert reports[1e9].grad_norm == pytest.approx(reports[None].grad_norm, rel=1e-5)
    assert reports[1e-9].grad_norm < 0.9 * reports[None].grad_norm
    assert reports[1e-9].losses["mse"] == reports[None].losses["mse"]


def test_several_processes_are_refused(features, data, config, monkeypatch):
    """As under torchrun: each would train alone and they would rename one folder."""
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 2)
    with pytest.raises(TrainingError, match="started in 2 processes"):
        Trainer(make_model(), batches_of(features, data), config.train)


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


# Invariance of the condition vector


def test_the_probe_sees_the_source_and_a_fixed_pose(features, data, config):
    cache = FeatureCache(features)
    views = views_of_people(data.pictures("train"), people=2, views=2)
    model = build_model(config, cache)
    with torch.no_grad():
        for weight in model.canet.parameters():
            weight.normal_()
    probe = InvarianceProbe(cache, views)
    assert torch.equal(probe.pose[0], probe.pose[-1])
    cosines = probe(model)
    assert set(cosines) == {"cosine_person", "cosine_people"}
    assert all(-1 <= value <= 1 for value in cosines.values())
    twice = InvarianceProbe(cache, [[views[0][0]] * 2, [views[1][0]] * 2])(model)
    assert twice["cosine_person"] == pytest.approx(1, abs=1e-6)
    assert twice["cosine_people"] < 1 - 1e-6
    assert InvarianceProbe(cache, views[:1])(model) == {}, "nobody to compare with"

"""Steps of training: what is minimised, how fast, in which format, and what stops it."""

import shutil

import numpy as np
import pytest
import torch
from helpers.networks import assert_same_tensors, make_model

from xmdpt.config import ConfigError
from xmdpt.diffusion import training_losses
from xmdpt.training.ema import EMA
from xmdpt.training.train import TrainingError, TrainingModule, _quartiles, draw_batch


def flat(model):
    return torch.cat([value.detach().flatten().clone() for value in model.parameters()])


@pytest.mark.parametrize(
    ("objective", "terms"),
    [("epsilon", ("mse", "vb", "masked_mse", "masked_vb")), ("flow", ("mse", "masked_mse"))],
)
def test_a_step_descends_all_of_equation_5(trainer, objective, terms):
    made = trainer(precision="fp32", objective=objective)
    hand = TrainingModule(make_model().train(), made.config.condition_dropout, objective)
    losses = hand(draw_batch(made.batches, made.config, 16, 0))
    assert {name for name in losses if not name.endswith("loss")} == {*terms}
    sum(losses[k].mean() for k in terms).backward()
    norm = torch.stack([p.grad.norm() for p in hand.parameters()]).norm().item()
    assert next(made.run(1)).grad_norm == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("objective", ["epsilon", "flow"])
def test_training_lowers_the_loss(trainer, objective):
    changes = {"randomize": False, "learning_rate": 3e-3, "precision": "fp32"}
    made = trainer(objective=objective, **changes)
    losses = [report.losses["mse"] for report in made.run(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_the_rate_rises_stays_and_falls(trainer):
    made = trainer(learning_rate=0.1, warmup_steps=2, decay_steps=4, grad_clip=1e-9)
    rates = [made.optimizer.param_groups[0]["lr"] for _ in made.run(made.config.steps)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])


def test_min_snr_weighs_the_gradient_and_not_the_reported_loss(trainer):
    # None; above every ratio; far below, so that all but nothing is left
    plain, above, below = (
        next(trainer(snr_gamma=gamma, precision="fp32").run(1)) for gamma in (None, 1e9, 1e-9)
    )
    assert above.grad_norm == pytest.approx(plain.grad_norm, rel=1e-5)
    assert below.grad_norm < 0.9 * plain.grad_norm
    assert below.losses["mse"] == plain.losses["mse"]


def test_without_clipping_gradients_stay_as_they_are(trainer):
    norms = [
        next(trainer(precision="fp32", learning_rate=0.0, grad_clip=clip).run(1)).grad_norm
        for clip in (None, 1e9, 1e-3)
    ]
    assert norms[0] == norms[1] == norms[2] > 1e-3, "the norm before clipping"


def test_gradient_checkpointing_changes_no_number(trainer):
    reports = []
    for on in (False, True):
        made = trainer(gradient_checkpointing=on)
        assert made.model.is_gradient_checkpointing is on
        reports.append(list(made.run(2)))
    assert reports[0] == reports[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiling_changes_rounding_alone(trainer):
    changes = {"precision": "fp32", "objective": "flow"}
    eager, compiled = (
        [report.losses["loss"] for report in trainer(compile=on, **changes).run(3)]
        for on in (False, True)
    )
    assert compiled == pytest.approx(eager, rel=1e-4)


def test_condition_dropout_of_one_ignores_the_conditions(trainer):
    made = trainer(condition_dropout=1.0, precision="fp32")
    batch = draw_batch(made.batches, made.config, 16, 0)
    with torch.no_grad():
        first = made.module(batch)["mse"]
        again = made.module(batch | {"pose_tokens": batch["pose_tokens"] + 1})["mse"]
    assert torch.equal(first, again)


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


@pytest.mark.parametrize(("parts", "said"), [(3, "2 processes of 3 parts"), (1, "3 processes;")])
def test_a_batch_that_cannot_be_divided_equally_is_refused(trainer, monkeypatch, parts, said):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 2 if parts > 1 else 3)
    with pytest.raises(ConfigError, match=f"4 cannot be divided equally among {said}"):
        trainer(accumulation=parts)


def test_a_batch_in_parts_is_the_same_step(trainer):
    """Up to the order of sums."""
    start = flat(trainer().model)
    ends = {}
    for parts in (1, 2, 4):
        made = trainer(accumulation=parts, precision="fp32")
        ends[parts] = [*made.run(6)], flat(made.model)
    reports, one = ends[1]
    for parts in (2, 4):
        others, weights = ends[parts]
        assert (weights - one).norm() < 1e-3 * (one - start).norm()
        assert not torch.equal(weights, one), "the sums were taken in another order"
        for a, b in zip(reports, others, strict=True):
            assert a.losses == pytest.approx(b.losses, rel=1e-3)
            assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-3)


def test_settings_of_accelerate_would_override_ours(trainer, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(ConfigError, match="ACCELERATE_MIXED_PRECISION: set in the environment"):
        trainer()


# States


def test_a_loss_that_is_not_a_number_reaches_no_weight(trainer, tmp_path):
    made = trainer()
    list(made.run(2))
    made.save(tmp_path / "state.pt")
    whole = {name: value.clone() for name, value in made.model.state_dict().items()}
    with torch.no_grad():
        made.model.final_layer.linear.bias.fill_(float("nan"))
    networks = (made.model, made.ema.model)
    before = [{k: v.clone() for k, v in one.state_dict().items()} for one in networks]
    with pytest.raises(TrainingError, match="step 2: the loss is nan"):
        list(made.run(3))
    for network, state in zip(networks, before, strict=True):
        torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0, equal_nan=True)
    made.load(tmp_path / "state.pt")
    assert made.step == 2
    assert_same_tensors(made.model.state_dict(), whole)


def test_a_state_is_resumed_with_the_current_optimizer_settings(trainer, tmp_path):
    trainer().save(tmp_path / "state.pt")
    after = trainer(weight_decay=0.05, adam_beta2=0.95)
    after.load(tmp_path / "state.pt")
    [group] = after.optimizer.param_groups
    assert group["weight_decay"] == 0.05 and group["betas"] == (0.9, 0.95)


def test_muon_steps_in_the_format_of_the_step(trainer, tmp_path, monkeypatch):
    for faster in (False, True):
        monkeypatch.setattr(
            "xmdpt.support.precision.multiplies_bf16", lambda device, said=faster: said
        )
        made = trainer(precision="auto", optimizer="muon")
        assert made.optimizer.param_groups[0]["precision"] == ("bf16" if faster else "fp32")
        made.save(tmp_path / f"{faster}.pt")
    made.load(tmp_path / "False.pt")
    assert made.optimizer.param_groups[0]["precision"] == "fp32"


def test_an_automatic_precision_is_kept_by_the_state(trainer, tmp_path, monkeypatch):
    """It is measured, and the measurement may turn out otherwise in the process that goes on."""
    for faster in (False, True):
        monkeypatch.setattr(
            "xmdpt.support.precision.multiplies_bf16", lambda device, said=faster: said
        )
        made = trainer(precision="auto")
        made.save(tmp_path / f"{faster}.pt")
    made.load(tmp_path / "False.pt")
    assert made.precision == "fp32"
    chosen = trainer(precision="bf16")
    chosen.load(tmp_path / "False.pt")
    assert chosen.precision == "bf16"


@torch.no_grad()
def test_both_passes_are_conditioned_on_the_source_and_drop_pairs_of_their_own(trainer):
    made = trainer(precision="fp32", condition_dropout=0.5)
    model, batch = made.model, draw_batch(made.batches, made.config, 16, 0)
    batch["drop"] = torch.tensor([[0.9, 0.1, 0.9, 0.1], [0.9, 0.9, 0.1, 0.1]])
    y = model.encode_condition(
        batch["pose_tokens"].float(), batch["source_tokens"].float(), batch["source_latent"]
    )
    hidden, losses = (batch["source_latent"], batch["mask_noise"]), made.module(batch)
    for name, kept, more in (("mse", [1, 0, 1, 0], ()), ("masked_mse", [1, 1, 0, 0], hidden)):
        seen = y * torch.tensor(kept)[:, None]
        expected = training_losses(
            lambda x, t, seen=seen, more=more: model(x, t, seen, *more).sample,
            batch["target_latent"], batch["t"], batch["noise"],
        )  # fmt: skip
        torch.testing.assert_close(losses[name], expected["mse"])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_training_begins_with_the_settings_of_its_optimizer(trainer, optimizer):
    made = trainer(optimizer=optimizer, weight_decay=0.05, adam_beta2=0.95)
    groups = made.optimizer.param_groups
    assert {group["weight_decay"] for group in groups} == {0.05}
    assert [group["betas"] for group in groups if "betas" in group] == [(0.9, 0.95)]


def test_what_adamw_averages_is_clipped(trainer):
    made = trainer(precision="fp32", grad_clip=1e-3)
    next(made.run(1))
    means = [made.optimizer.state[p]["exp_avg"].norm() for p in made.model.parameters()]
    assert torch.stack(means).norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_min_snr_weighs_both_passes(trainer):
    made = trainer(snr_gamma=1e-12, precision="fp32")  # all but the bounds is gone
    hand = TrainingModule(make_model().train(), made.config.condition_dropout)
    losses = hand(draw_batch(made.batches, made.config, 16, 0))
    (losses["vb"].mean() + losses["masked_vb"].mean()).backward()
    norm = torch.stack([p.grad.norm() for p in hand.parameters()]).norm().item()
    assert next(made.run(1)).grad_norm == pytest.approx(norm, rel=1e-4)


def test_quarters_of_the_timesteps():
    found = _quartiles(torch.tensor([1.0, 3, 5, 7]), torch.tensor([0, 249, 250, 999]))
    assert [found[f"mse_q{n}"].item() for n in (0, 1, 3)] == [2, 5, 7]
    assert found["mse_q2"].isnan()

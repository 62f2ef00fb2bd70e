"""What networks cost: sizes of the stand-ins, closed-form counts, timing in rounds."""

import json
from functools import partial
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from accelerate import init_empty_weights
from helpers.commands import xmdpt
from helpers.networks import make_model, make_pipeline

from xmdpt.config import CostModel
from xmdpt.costs import efficiency
from xmdpt.costs.efficiency import (
    TensorsAlive,
    count_inference,
    measure_costs,
    random_network,
    time_call,
    training_batch,
)
from xmdpt.costs.full_size import NETWORKS, STEPS
from xmdpt.model import relative_position_index
from xmdpt.training.train import TrainingModule

CPU = torch.device("cpu")


def test_every_network_of_the_settings_is_there():
    assert tuple(NETWORKS) == get_args(CostModel)


@pytest.mark.parametrize(
    ("name", "millions", "tolerance"),
    [
        ("pixel_unet", 688.00, 0.02),  # PIDM, as printed
        ("latent_unet", 395.89, 0.02),  # PoCoLD
        ("dinov2_giant", 1136.0, 0.002),
        ("dinov2_base", 86.6, 0.015),  # 86.6 M with the position table of its own 518 pixels
        ("vae", 83.65, 0.0001),
    ],
)
def test_stand_ins_have_the_size_of_what_they_stand_for(name, millions, tolerance):
    with init_empty_weights():
        network = NETWORKS[name].build()
    assert efficiency.count_parameters(network) / 1e6 == pytest.approx(millions, rel=tolerance)


def test_operations_of_x_mdpt_have_a_closed_form():
    counted = count_inference("x_mdpt_s", pictures=1)
    width, tokens = 384, 256
    block = 24 * tokens * width**2 + 4 * tokens**2 * width + 12 * width**2
    ends = 4 * width**2 + 2 * tokens * width * 32 + 2 * tokens * width * 16
    time_embedding = 2 * 256 * width + 2 * width**2
    assert counted["flops"] == 12 * block + ends + time_embedding
    assert counted["parameters"] == 33_785_413
    assert counted["memory_mb"] > 4 * counted["parameters"] / 2**20


def test_memory_counts_what_is_alive_at_once():
    x = torch.zeros(1000)
    with TensorsAlive() as alive:
        y = x + 1
        z = y * 2
        del y
        view = z[:10]
        w = z + 1
        seen = x[:500]
    assert (alive.peak, alive.now) == (8000, 8000), "x and what views it were there before"
    del view, w, z
    assert alive.now == 0 and seen.sum() == 0


def test_a_guided_picture_takes_the_forwards_that_the_table_says(tiny_vae):
    rows = []
    pipe = make_pipeline(tiny_vae)
    pipe.transformer.register_forward_hook(
        lambda module, inputs, output: rows.append(len(inputs[0]))
    )
    latents = torch.randn(3, 4, 8, 8)
    pipe.denoise(torch.randn(3, 32), latents, STEPS, guidance_scale=2.0, guidance_power=0.01)
    assert sum(rows) / 3 == NETWORKS["x_mdpt_l"].forwards == 100
    assert NETWORKS["pixel_unet"].forwards == NETWORKS["latent_unet"].forwards == 150
    assert NETWORKS["vae"].forwards == 1


@pytest.mark.parametrize(
    ("lengths", "taken"),
    [
        ((3, 1, 2, 7, 9), 2),  # the fourth fills the time; the last is not asked for
        ((50, 1, 9), 1),  # the first is left out however long it takes
    ],
)
def test_a_call_is_timed_by_the_median_of_many(monkeypatch, lengths, taken):
    clock, left = [0.0], iter(lengths)

    def call():
        clock[0] += next(left)

    monkeypatch.setattr(efficiency, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(efficiency, "LEAST_SECONDS", 13)
    assert time_call(call, CPU) == taken and [*left] == [9]


def test_random_networks_keep_their_buffers():
    build = partial(make_model, randomize=False)
    model = random_network(build, CPU)
    assert all(p.device == CPU and p.abs().max() > 0 for p in model.parameters())
    assert torch.equal(model.blocks[0].attn.position_bias.index, relative_position_index(4))


def test_a_training_batch_is_what_the_training_module_reads():
    model = make_model().train()
    losses = TrainingModule(model, 0.1)(training_batch(model, 2))
    assert losses["loss"].shape == losses["masked_loss"].shape == (2,)
    assert torch.isfinite(losses["loss"] + losses["masked_loss"]).all()


@pytest.mark.parametrize(
    ("words", "named"),
    [(("--models", "x_mdpt_s,pidm"), "pidm"), (("--device", "nonesuch"), "--device")],
)
def test_bench_refuses_in_one_line(monkeypatch, capsys, words, named):
    assert xmdpt(monkeypatch, "bench", "networks", *words) == 2
    error = capsys.readouterr().err
    assert named in error and len(error.splitlines()) == 1


@pytest.mark.slow
def test_the_small_model_is_measured():
    rounds = []
    wrap = partial(TrainingModule, condition_dropout=0.1)
    measured = measure_costs(["x_mdpt_s", "dinov2_base"], 2, 1, 1, wrap, CPU, rounds.append)
    assert [line[:12] for line in rounds] == ["round 1 of 2"] * 2 + ["round 2 of 2"] * 2
    assert list(measured["networks"]) == ["x_mdpt_s", "dinov2_base"]
    assert list(measured["training"]) == ["x_mdpt_s"]
    for record in [*measured["networks"].values(), *measured["training"].values()]:
        assert len(record["seconds"]) == 2 and min(record["seconds"]) > 0
    assert measured["settings"]["memory_pictures"] == 8, "counted, whatever was timed"
    training = measured["training"]["x_mdpt_s"]
    assert training["parameters"] / 1e6 == pytest.approx(39.12, abs=0.01)
    # Three passes' worth for each of the two, and the source's without gradient.
    assert training["flops"] > 5 * measured["networks"]["x_mdpt_s"]["flops"]


@pytest.mark.slow
def test_bench_answers_scripts_with_what_it_writes(tmp_path, monkeypatch, capsys):
    words = ["bench", "networks", "--models", "dinov2_base", "--repeats", "1", "--json"]
    words += ["--device", "cpu", "--out", str(tmp_path / "bench.json")]
    assert xmdpt(monkeypatch, *words) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out) == json.loads((tmp_path / "bench.json").read_text())
    assert "round 1 of 1" in streams.err

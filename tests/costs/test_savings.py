"""The ways to compute a step: equal results, and the operations that each saves."""

import json
import statistics
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.commands import xmdpt
from helpers.networks import make_model, make_vae, tiny_dinov2

from xmdpt.costs import savings
from xmdpt.costs.full_size import NETWORKS
from xmdpt.costs.growth import SHOWN, growth_figure, growth_table, measure_growth
from xmdpt.costs.savings import measure_savings, sampling_ways, training_ways
from xmdpt.costs.savings_table import said_of, savings_figure, savings_table
from xmdpt.diffusion import guidance_weight, guide
from xmdpt.training.train import TrainingModule

CPU = torch.device("cpu")
wrap = partial(TrainingModule, condition_dropout=0.1)


@pytest.fixture
def small(monkeypatch):
    """A small model in the place of S, whose blocks are most of its operations; and encoders."""

    def build(size, mip_attention="none", sample_size=32):
        side = sample_size // 2
        return make_model(sample_size=side, depth=4, hidden_size=64, mip_attention=mip_attention)

    for name, encoder in {
        "vae": partial(make_vae, 64, 1.0), "dinov2_giant": tiny_dinov2, "dinov2_base": tiny_dinov2,
    }.items():  # fmt: skip
        monkeypatch.setitem(NETWORKS, name, replace(NETWORKS[name], build=encoder))

    monkeypatch.setattr(savings, "build_x_mdpt", build)
    monkeypatch.setattr(savings, "SIDE", 64)
    return build


def quiet(line):
    pass


def measure(kind):
    training = wrap if kind == "train" else None
    return measure_savings("s", 2, 2, CPU, False, training, progress=quiet)


def test_all_ways_of_a_guided_step_give_the_same(small):
    ways = [way for way in measure("sample")["ways"] if way["precision"] == "fp32"]
    assert [way["name"] for way in ways] == [
        "as the authors compute", "source through no block", "condition once a picture",
        "both halves of the guidance in one batch",
    ]  # fmt: skip
    assert ways[0]["difference"] == 0 and max(way["difference"] for way in ways) < 1e-5
    assert all(len(way["seconds"]) == 2 and way["memory_mb"] > 0 for way in ways)


def test_the_last_way_is_the_pipelines_step(small):
    torch.manual_seed(0)
    model = make_model(sample_size=16).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    batch = savings.training_batch(model, 2)
    batch["t"] = torch.full_like(batch["t"], 300)
    batch["y"] = savings._condition(model, batch)
    given = model(batch["target_latent"], batch["t"], batch["y"]).sample
    free = model(batch["target_latent"], batch["t"], torch.zeros_like(batch["y"])).sample
    wanted = guide(given, free, guidance_weight(batch["t"][0], 2.0, 0.01))
    for way in sampling_ways(CPU, compiler=False)[:4]:
        torch.testing.assert_close(way.call(model, batch), wanted)


def test_what_is_saved_is_counted(small):
    first, second, third, fourth = measure("sample")["ways"][:4]
    config = small("s").config
    tokens = (config.sample_size // config.patch_size) ** 2
    width = config.hidden_size
    block = 24 * tokens * width**2 + 4 * tokens**2 * width + 12 * width**2
    embedded = 2 * tokens * width * config.in_channels * config.patch_size**2
    time = 2 * 256 * width + 2 * width**2
    rows = 2 * 2  # pictures and halves
    assert first["flops"] - second["flops"] == rows * (config.depth * block + embedded + time)
    assert third["flops"] < second["flops"] and fourth["flops"] == third["flops"]


def test_a_training_step_is_the_same_without_what_is_unused(small):
    measured = measure("train")
    names = [way["name"] for way in measured["ways"][:3]]
    assert names[0] == "as the authors compute" and names[1] == "features cached"
    first, second, third = measured["ways"][:3]
    assert first["difference"] == second["difference"] == third["difference"] == 0
    assert first["flops"] > second["flops"] > third["flops"]
    table = savings_table(measured)
    assert table["times as fast"].iloc[0] == "1.00"
    assert table["of the machine's matrix peak"].str.endswith("%").all()


def test_compiled_and_half_precision_come_last_where_they_help(monkeypatch):
    for half in (True, False):
        monkeypatch.setattr(savings, "multiplies_bf16", lambda device, half=half: half)
        for ways in (sampling_ways(CPU, True), training_ways(wrap, lambda: None, CPU, True)):
            names = [way.name for way in ways]
            assert names[-3:] == ["compiled", "bfloat16", "bfloat16, compiled"] if half else True
            assert half or names[-1] == "compiled"
    assert not [way for way in sampling_ways(CPU, False) if way.compiled]


def test_the_command_answers_in_words_and_in_json(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "savings.json"
    words = ["bench", "sample", "--repeats", "1", "--device", "cpu", "--out", str(out)]
    monkeypatch.setattr("xmdpt.support.compiler.find_compiler", lambda: None)
    assert xmdpt(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "as the authors compute" in said and "GFLOP/s" in said and "compiled" not in said
    assert xmdpt(monkeypatch, *words, "--figure", str(tmp_path / "savings.jpeg")) == 2
    assert "must end in .png" in capsys.readouterr().err
    assert xmdpt(monkeypatch, *words, "--figure", str(tmp_path / "savings.png"), "--json") == 0
    assert (tmp_path / "savings.png").stat().st_size > 10_000
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())


def test_the_figure_shows_the_tables_ratios(small):
    measured = measure("sample")
    ax = savings_figure(measured).axes[0]
    ratios = [float(text.get_text()) for text in ax.texts]
    assert ratios == [float(value) for value in savings_table(measured)["times as fast"]]
    peak = measured["peak"]["fp32"]
    fastest = statistics.median(measured["ways"][0]["seconds"]) * peak
    assert ax.patches[0].get_width() == pytest.approx(fastest / measured["ways"][0]["flops"])


def test_growth_has_a_row_for_each_number_of_tokens_and_of_pictures(small, monkeypatch):
    monkeypatch.setattr("xmdpt.costs.growth.SIDES", (16, 32))
    monkeypatch.setattr("xmdpt.costs.growth.BATCHES", (1, 2))
    growth = measure_growth("s", 2, 1, CPU, quiet)
    table = growth_table(growth)
    assert [*zip(table.index, table["pictures"], strict=True)] == [("16", 2), ("64", 2), ("64", 1)]
    fewer, more = (each["ways"][0]["flops"] for each in growth["pictures"])
    assert more == 2 * fewer
    assert 2 <= len(growth_figure(growth).axes[0].lines) <= len(SHOWN)  # bfloat16 where it helps
    words = said_of(growth["tokens"][0], grows=True)
    assert " pictures" not in words and "largest difference" not in words
    alone = growth["tokens"][0]
    once = alone | {"settings": alone["settings"] | {"batch_size": 1, "repeats": 1}}
    assert ", 1 picture, once, on " in said_of(once)

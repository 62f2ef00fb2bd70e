"""Whole pictures, drawn as by the authors' code and by each preset."""

import json

import pytest
import torch
from helpers.commands import xmdpt
from helpers.networks import make_model, make_pipeline

from xmdpt.costs.whole import (
    _ask,
    draw_as_the_authors,
    draw_by_preset,
    measure_pictures,
    pictures_table,
    said_of_pictures,
    ways_of,
)
from xmdpt.flow import make_flow_scheduler


@pytest.fixture
def pipe(tiny_vae):
    return make_pipeline(tiny_vae)


def test_the_authors_way_draws_the_pictures_of_exact(pipe):
    for parameter in pipe.transformer.parameters():
        parameter.data *= 0.5  # random weights amplify rounding
    asked = _ask(pipe, 2)
    theirs = (draw_as_the_authors(pipe, asked) / 2 + 0.5).clamp(0, 1)
    ours = draw_by_preset(pipe, asked, "exact")
    assert theirs.shape == (2, 3, 64, 64) and theirs.std() > 0.01
    assert (theirs - ours).abs().max() < 1e-3


def test_passes_are_those_that_happen(pipe):
    pipe.register_modules(turbo=make_model(mip_attention="none"))
    pipe.register_to_config(
        fast_timesteps=[999, 500, 100], turbo_timesteps=[999, 700, 300, 90], turbo_scale=2.0
    )
    passes = []
    for network in (pipe.transformer, pipe.turbo):
        network.register_forward_hook(lambda model, given, made: passes.append(len(given[0])))
    found = {}
    for way in ways_of(pipe, _ask(pipe, 1)):
        passes.clear()
        way.draw()
        assert sum(passes) == way.forwards, way.name
        found[way.name] = way.forwards
    exact = {"as the authors compute": 100, "exact": 100}
    assert exact | {"fast": 6, "turbo": 4} == {n: f for n, f in found.items() if "bf" not in n}


def test_the_command_times_whole_pictures(pipe, tmp_path, monkeypatch, capsys):
    pipe.save_pretrained(tmp_path / "weights")
    out = tmp_path / "times.json"
    words = ("--weights", tmp_path / "weights", "--num", 1, "--repeats", 2, "--out", out, "--json")
    assert xmdpt(monkeypatch, "bench", "pictures", *words) == 0
    measured = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == measured
    assert [len(way["seconds"]) for way in measured["ways"]] == [2] * len(measured["ways"])
    table = pictures_table(measured)
    assert table["times as fast"].iloc[0] == "1.0" and table.index[1] == "exact"
    assert "1 pictures of 64x64" in said_of_pictures(measured)


def test_weights_that_the_authors_code_does_not_know_are_refused(pipe):
    pipe.scheduler = make_flow_scheduler()
    with pytest.raises(ValueError, match="predict a velocity"):
        measure_pictures(pipe, 1, 1)
    assert torch.is_grad_enabled()

"""What the teaching notebooks call: encoding, drawing, short studies and their figures."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from helpers.networks import make_model, make_pipeline
from helpers.people import SIZE
from helpers.repository import ROOT

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.lessons import figures
from xmdpt.lessons import people as lesson
from xmdpt.lessons.people import (
    _make_once,
    condition_of,
    encode_pairs,
    training_features,
    views_of,
)
from xmdpt.lessons.sampling import (
    SOLVERS,
    distance,
    draw_by_presets,
    draw_latents,
    forward_passes,
    start_noise,
)
from xmdpt.lessons.studies import (
    Study,
    comparison,
    draw_study,
    finished_study,
    prediction_errors,
    predicts,
    smoothed,
    variant,
    with_transformer,
)
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import scheduler_for
from xmdpt.support.random import keyed_generator
from xmdpt.training.train import TrainingModule


@pytest.fixture(scope="module")
def data(people) -> DeepFashion:
    return DeepFashion(people, SIZE)


@pytest.fixture
def pipe(tiny_vae) -> XMDPTPipeline:
    return make_pipeline(tiny_vae)


@pytest.fixture
def pairs(pipe, data):
    return encode_pairs(pipe, data, data.pairs("test")[:3])


# People


def test_pairs_are_encoded_as_the_pipeline_encodes_them(pipe, data):
    pipe.transformer = make_model(mip_attention="none", canet_sources="global")
    source, target = data.pairs("test")[0]
    inputs = encode_pairs(pipe, data, [(source, target)])
    theirs = pipe.encode_condition(data.picture(source), data.skeleton(target))
    assert torch.allclose(condition_of(pipe.transformer, inputs), theirs, atol=1e-5)
    back = encode_pairs(pipe, data, [(target, source)])
    assert torch.allclose(inputs["target_latent"], back["source_latent"], atol=1e-5)


def test_features_are_made_once_for_the_same_weights(pipe, data, tmp_path):
    first = training_features(pipe, data, tmp_path)
    assert set(first.names) == set(data.pictures("train"))
    stamp = (first.folder / "index.json").stat().st_mtime_ns
    again = training_features(pipe, data, tmp_path)
    assert (again.folder / "index.json").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [first.folder.name]


def test_of_two_that_make_a_folder_one_stays(tmp_path):
    place = tmp_path / "people"

    def slow(folder: Path) -> None:
        folder.mkdir()
        place.mkdir()  # the other one, meanwhile
        (place / "theirs").touch()

    assert (_make_once(place, slow) / "theirs").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_a_folder_that_cannot_be_made_is_said_and_leaves_nothing(tmp_path):
    def broken(folder: Path) -> None:
        folder.mkdir()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        _make_once(tmp_path / "people", broken)
    assert list(tmp_path.iterdir()) == []


# Sampling


def test_drawing_is_the_pipelines_own(pipe, pairs, data):
    condition = condition_of(pipe.transformer, pairs)
    own = pipe.scheduler
    drawn = draw_latents(pipe, condition, 5, scale=3.0, power=1.0, seed=4)
    assert pipe.scheduler is own
    noise = start_noise(pipe, 3, seed=4)
    assert torch.equal(drawn, pipe.denoise(condition, noise, 5, 3.0, 1.0))
    assert torch.equal(start_noise(pipe, 1, seed=4), noise[:1])


def test_solvers_follow_one_curve(pipe, pairs):
    condition = condition_of(pipe.transformer, pairs)
    reference = draw_latents(pipe, condition, 300)
    for solver in SOLVERS:
        few, many = (
            distance(draw_latents(pipe, condition, steps, solver=solver), reference)
            for steps in (5, 60)
        )
        assert many < few / 2 and many < 0.1, solver
    assert distance(reference, reference) == 0


def test_presets_are_drawn_where_the_weights_have_them(pipe, pairs):
    condition, passes = condition_of(pipe.transformer, pairs)[:1], []
    assert not draw_by_presets(pipe, condition)
    pipe.register_modules(turbo=make_model(mip_attention="none"))
    pipe.register_to_config(
        fast_timesteps=[999, 500, 100], turbo_timesteps=[999, 700, 300, 90], turbo_scale=2.0
    )
    for network in (pipe.transformer, pipe.turbo):
        network.register_forward_hook(lambda model, given, made: passes.append(len(given[0])))
    drawn = draw_by_presets(pipe, condition)
    assert {name: count for name, (count, _) in drawn.items()} == {"fast": 6, "turbo": 4}
    assert sum(passes) == 10
    assert not torch.equal(drawn["fast"][1], drawn["turbo"][1])
    assert [*draw_by_presets(pipe, condition, scale=3.0)] == ["fast"], "turbo has learned another"


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_forward_passes_are_those_that_happen(pipe, pairs, scale):
    condition, rows = condition_of(pipe.transformer, pairs)[:1], []
    pipe.transformer.register_forward_hook(
        lambda model, inputs, output: rows.append(len(inputs[0]))
    )
    draw_latents(pipe, condition, 4, scale=scale)
    assert sum(rows) == forward_passes(4, scale)


# Studies


def test_a_variant_takes_over_the_weights_that_it_has_a_place_for():
    model = make_model()
    state = model.state_dict()
    without = variant(model, mip_attention="none")
    assert all(torch.equal(value, state[name]) for name, value in without.state_dict().items())
    ratio = variant(model, mask_ratio=0.5)
    assert ratio.kept_tokens(torch.rand(1, 16)).shape == (1, 8)
    local = variant(model, canet_sources="local")
    assert local.canet.source_pool is None
    assert torch.equal(local.canet.pose_pool.conv.weight, model.canet.pose_pool.conv.weight)
    again = variant(variant(without, mip_attention="self"), mip_attention="self")
    assert torch.equal(
        again.mipnet.mask_token, variant(without, mip_attention="self").mipnet.mask_token
    )


def test_a_model_that_predicts_no_noise_has_an_error_of_one(pipe, pairs):
    blank = with_transformer(pipe, make_model(randomize=False))
    errors = prediction_errors(blank, pairs, [10, 500, 990])
    assert errors.shape == (3,) and np.allclose(errors, 1, atol=0.15)


@pytest.mark.parametrize("objective", ["epsilon", "flow"])
def test_errors_are_those_of_training(pipe, pairs, objective):
    model = make_model(mip_attention="none")
    pipe = with_transformer(pipe, model)
    pipe.scheduler = scheduler_for(objective)
    assert predicts(pipe) == {"epsilon": "noise", "flow": "velocity"}[objective]
    blind = prediction_errors(pipe, pairs, [400], conditional=False)
    batch = pairs | {"t": torch.full((3,), 400), "drop": torch.zeros(2, 3)}
    shown = prediction_errors(pipe, pairs, [400])
    assert blind != shown
    noise = torch.randn(pairs["target_latent"].shape, generator=keyed_generator(0, "noise", 400))
    losses = TrainingModule(model, 1.0, objective)(batch | {"noise": noise})
    assert np.isclose(losses["mse"].mean().item(), blind[0], rtol=1e-5)


def test_a_study_draws_all_its_models_from_equal_noise(pipe, data, pairs):
    names = data.pairs("test")[:3]
    twice = {"one": pipe, "same": with_transformer(pipe, variant(pipe.transformer))}
    drawn = draw_study(Study(twice, data, names, ""), pairs, 3)
    assert (drawn["one"] == drawn["same"]).all()
    rows = comparison(data, names, drawn, 2)
    assert list(rows) == ["source", "pose", "one", "same", "truth"]
    assert (rows["truth"][1] == data.picture(names[2][1])).all()
    assert (rows["one"][1] == drawn["one"][2]).all()


def test_finished_runs_are_found_whole_or_not_at_all(pipe, people, tmp_path):
    settings = yaml.safe_load((ROOT / "profiles/smoke.yaml").read_text())
    settings["data"] |= {"root": "people", "size": SIZE}
    settings["model"] = {name: pipe.transformer.config[name] for name in settings["model"]}
    settings["experiments"] |= {"again": {"title": "X-MDPT-B, again"}}
    settings["runs"] = ["base_b", "again"]
    shutil.copytree(people, tmp_path / "people")
    runs = {"with": "base_b", "without": "again"}
    settings["train"]["checkpoints"] = {"ablation": 2, "main": 3}
    (tmp_path / "params.yaml").write_text(json.dumps(settings))
    pipe.vae.save_pretrained(tmp_path / "models/vae")
    for run in runs.values():
        assert finished_study(runs, 2, tmp_path) is None
        pipe.transformer.save_pretrained(tmp_path / "models" / run / "ablation")
        history = pd.DataFrame({"step": [1, 2, 3], "mse": [1.0, 0.5, 0.1]})
        history.to_csv(tmp_path / "models" / run / "history.tsv", sep="\t", index=False)
    study = finished_study(runs, 2, tmp_path)
    assert list(study.pipelines) == ["with", "without"] and len(study.pairs) == 2
    assert study.histories["with"]["mse"].tolist() == [1.0, 0.5] and "smoke" in study.origin
    assert finished_study({"with": "base_b", "cross": "attention_cross"}, 2, tmp_path) is None
    settings["train"]["checkpoints"]["main"] = 4  # those there are of other settings now
    (tmp_path / "params.yaml").write_text(json.dumps(settings))
    assert finished_study(runs, 2, tmp_path) is None


def test_a_running_mean_starts_at_once():
    history = pd.DataFrame({"step": [1, 2, 3], "mse": [4.0, 2.0, 0.0]})
    assert smoothed(history, "mse", 2).to_dict() == {1: 4.0, 2: 3.0, 3: 1.0}


# Figures


def test_patches_are_hidden_where_they_are_not_kept():
    picture = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    shown = figures.hide_patches(picture, np.array([True, False, False, True]))
    assert (shown[:2, :2] == picture[:2, :2]).all() and (shown[2:, 2:] == picture[2:, 2:]).all()
    assert (shown[:2, 2:] == 150).all() and (shown[2:, :2] == 150).all()


def test_joints_that_are_not_seen_are_named(data):
    name = data.pictures("test")[0]
    points = np.full((18, 2), -1.0)
    points[:3] = [[10, 10], [12, 11], [50, 12]]
    figure = figures.joints_figure(data.picture(name), points, data.skeleton(name))
    named, _ = figure.axes
    assert len(named.texts) == 3 and "left ear" in named.get_title()
    heights = sorted(text.get_position()[1] for text in named.texts if text.get_ha() == "right")
    assert np.diff(heights).min() >= 0.06 * SIZE - 1e-9, "labels keep apart"


def test_maps_share_one_scale_with_zero_in_the_middle():
    figure = figures.heat_maps({"a": np.array([[1.0]]), "b": np.array([[-3.0]])}, "")
    assert {axes.images[0].get_clim() for axes in figure.axes[:2]} == {(-3, 3)}


def test_similarities_stand_beside_their_pictures():
    cosines = np.array([[1, 0.5], [0.5, 1]])
    figure = figures.cosine_figure(cosines, [np.zeros((4, 4, 3), np.uint8)] * 2, "")
    _, top, left, main = figure.axes[:4]
    assert top.images[0].get_array().shape == (4, 8, 3)
    assert left.images[0].get_array().shape == (8, 4, 3)
    assert main.images[0].get_clim() == (0.5, 1)


def test_curves_and_panels_draw_what_they_are_given():
    line = {"a": ([1, 10], [1, 100])}
    axes = figures.curves(line, "t", "x", "y", log="xy").axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.lines[0].get_ydata().tolist() == [1, 100]
    panels = figures.panels({"psnr": line, "st_lpips": line}, "t", "x").axes
    assert [axes.get_title()[-1] for axes in panels] == ["↑", "↓"]


def test_a_rendered_person_is_one_whatever_the_names_begin_with():
    shots = ("01_1_front", "01_3_back", "02_3_back", "02_4_full")
    names = [f"img/WOMEN/Pants/id_0910000{n}/{shot}.jpg" for n in range(2) for shot in shots]
    data = SimpleNamespace(pictures=lambda split: names)
    assert views_of(data, 4, 4) == [names[:4], names[4:]]
    assert [len(row) for row in views_of(data, 1, 2)] == [2]


def test_solvers_of_noise_refuse_a_velocity(pipe, pairs):
    condition, pipe.scheduler = condition_of(pipe.transformer, pairs), scheduler_for("flow")
    with pytest.raises(ValueError, match="predict a velocity"):
        draw_latents(pipe, condition, 3, solver="DDIM")
    assert torch.isfinite(draw_latents(pipe, condition, 3)).all()


def test_people_of_another_renderer_are_rendered_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "render_dataset", lambda place, **_: place.mkdir(parents=True))
    monkeypatch.setattr(lesson, "DeepFashion", lambda root, size: root)
    first = lesson.lesson_people(2, folder=tmp_path)
    assert lesson.lesson_people(2, folder=tmp_path) == first
    monkeypatch.setattr(lesson, "code_key", lambda *patterns: "other")
    assert lesson.lesson_people(2, folder=tmp_path) != first

"""A network for the preset `turbo`: guidance, then steps, learned from the pipeline's own."""

from contextlib import nullcontext

import pytest
import torch
from helpers.networks import make_pipeline
from helpers.people import body

from xmdpt.config import ConfigError
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.diffusion import XMDPTScheduler
from xmdpt.flow import make_flow_scheduler
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import PresetError, plan
from xmdpt.training.errors import TrainingError
from xmdpt.training.timesteps import Guided, evenly_in_log_snr
from xmdpt.training.turbo import (
    HELD_OUT,
    Recipe,
    distill_guidance,
    distill_steps,
    latents_of,
    walk,
    with_between,
)
from xmdpt.weights.export import export_pipeline
from xmdpt.weights.load import load_pipeline

GENERATOR = torch.Generator().manual_seed(0)
CONDITION = torch.randn((HELD_OUT + 64, 32), generator=GENERATOR)
LATENTS = torch.randn((HELD_OUT + 64, 4, 8, 8), generator=GENERATOR)
TIMESTEPS = (999, 700, 400, 90)


@pytest.fixture
def pipe(tiny_vae):
    return make_pipeline(tiny_vae)


def with_turbo(pipe, network, timesteps=TIMESTEPS):
    pipe.register_modules(turbo=network)
    pipe.register_to_config(turbo_scale=2.0, turbo_timesteps=timesteps and [*timesteps])
    return pipe


def test_timesteps_may_differ_from_picture_to_picture(pipe):
    x, t = LATENTS[:3], torch.tensor([900, 500, 20])
    with torch.no_grad():
        all_at_once = Guided(pipe, 3.0).noise(x, t, CONDITION[:3])
        for row in range(3):
            alone = Guided(pipe, 3.0).noise(x[[row]], t[row], CONDITION[[row]])
            torch.testing.assert_close(all_at_once[[row]], alone, rtol=1e-4, atol=1e-4)


def test_the_teacher_stops_where_the_student_does(pipe):
    many = with_between(pipe, torch.tensor(TIMESTEPS, dtype=torch.float64))
    assert len(many) == 16 and (many.diff() < 0).all()
    assert many[::4].tolist() == pytest.approx(TIMESTEPS, abs=1e-6)
    torch.testing.assert_close(
        many[12:], evenly_in_log_snr(pipe, 5, TIMESTEPS[-1], 1.0)[:-1], rtol=0, atol=1e-9
    )


def test_guidance_is_learned_for_pairs_it_has_not_seen(pipe, tmp_path):
    own = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
    recipe = Recipe(updates=60, rate=2e-3, batch=16)
    learned = distill_guidance(pipe, CONDITION, LATENTS, tmp_path, 4.0, recipe)
    assert learned.after < 0.92 * learned.before
    for name, value in pipe.transformer.state_dict().items():
        assert torch.equal(value, own[name]), "the teacher stays"


def test_steps_are_learned_for_noise_they_have_not_seen(pipe, tmp_path):
    with_turbo(pipe, pipe.transformer, None)
    recipe = Recipe(updates=30, rate=2e-3, batch=8)
    learned = distill_steps(pipe, CONDITION, TIMESTEPS, tmp_path, recipe)
    assert learned.after < 0.92 * learned.before and learned.timesteps == TIMESTEPS


@pytest.mark.parametrize("stage", ["guidance", "steps"])
def test_an_interrupted_stage_goes_on_to_the_same_weights(pipe, tmp_path, monkeypatch, stage):
    monkeypatch.setattr("xmdpt.training.turbo.SAVE_EVERY", 3)
    recipe = Recipe(updates=8, rate=1e-3, batch=4)

    def learn(work, progress=iter):
        work.mkdir(exist_ok=True)
        if stage == "guidance":
            given = (CONDITION, LATENTS, work, 2.0, recipe, 0, progress)
            return distill_guidance(pipe, *given)
        with_turbo(pipe, pipe.transformer, None)
        return distill_steps(pipe, CONDITION, TIMESTEPS, work, recipe, 0, progress)

    def broken(updates):
        for update in updates:
            if update == 5:
                raise KeyboardInterrupt
            yield update

    seen = []

    def count(updates):
        for update in updates:
            seen.append(update)
            yield update

    whole = learn(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "broken", broken)
    again = learn(tmp_path / "broken", count)
    assert seen == [3, 4, 5, 6, 7]
    assert again.after == whole.after
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, whole.network.state_dict()[name])


def test_turbo_draws_the_students_walk_with_one_pass_a_step(pipe, monkeypatch):
    monkeypatch.setattr("xmdpt.training.turbo.autocast", lambda *_: nullcontext())
    student = make_pipeline(pipe.vae).transformer
    for parameter in student.parameters():
        parameter.data += 0.02
    with_turbo(pipe, student)
    passes = []
    student.register_forward_hook(lambda module, given, made: passes.append(len(given[0])))
    photo = torch.randint(0, 256, (64, 64, 3), generator=GENERATOR).to(torch.uint8).numpy()
    asked = (photo, body(0.2))
    noise = LATENTS[:1]
    how = {"latents": noise, "output_type": "latent"}
    generator = torch.Generator().manual_seed(1)
    drawn = pipe(*asked, preset="turbo", generator=generator, **how).images
    assert passes == [1] * len(TIMESTEPS) and pipe.transformer is not student
    condition = pipe.encode_condition(*asked, torch.Generator().manual_seed(1))
    t = torch.tensor(TIMESTEPS, dtype=torch.float64)
    with torch.no_grad():
        *_, end = walk(student, pipe, condition, noise, t)
    assert (drawn - end).abs().max() < 1e-3 * end.abs().max()
    assert pipe.denoiser is None and type(pipe.scheduler) is XMDPTScheduler
    passes.clear()
    pipe(*asked, preset="turbo", num_inference_steps=7, **how)
    assert passes == [1] * 7
    pipe.turbo = torch.compile(pipe.turbo, backend="eager")
    again = pipe(*asked, preset="turbo", generator=torch.Generator().manual_seed(1), **how).images
    torch.testing.assert_close(again, drawn, rtol=1e-4, atol=1e-4)


def test_what_turbo_lacks_is_said(pipe, tmp_path):
    scheduler = pipe.scheduler
    with pytest.raises(PresetError, match="no network that draws without guidance; `xmdpt distill"):
        plan("turbo", scheduler, None, pipe.learned)
    with pytest.raises(ConfigError, match="`xmdpt distill guidance` makes one"):
        distill_steps(pipe, CONDITION, TIMESTEPS, tmp_path)
    with_turbo(pipe, pipe.transformer, None)
    with pytest.raises(PresetError, match="takes no few steps yet"):
        plan("turbo", scheduler, None, pipe.learned)
    assert plan("turbo", scheduler, 9, pipe.learned).steps == 9
    with pytest.raises(PresetError, match="a guidance scale of 2, not 3; give that scale"):
        plan("turbo", scheduler, 9, pipe.learned, 3.0)
    with pytest.raises(ValueError, match="3 pairs: at least 4"):
        distill_guidance(pipe, CONDITION[:3], LATENTS[:3], tmp_path)
    pipe.scheduler = make_flow_scheduler()
    with pytest.raises(ConfigError, match="predict noise"):
        distill_guidance(pipe, CONDITION, LATENTS, tmp_path)
    with pytest.raises(PresetError, match="predicts a velocity"):
        plan("turbo", pipe.scheduler, None, pipe.learned)


def test_the_network_goes_with_the_pipeline(pipe, tmp_path):
    assert XMDPTPipeline.from_pipe(pipe).turbo is None
    student = make_pipeline(pipe.vae).transformer
    for parameter in student.parameters():
        parameter.data += 1.0
    with_turbo(pipe, student)
    pipe.save_pretrained(tmp_path / "saved")
    export_pipeline(pipe, tmp_path / "exported")
    for folder in ("saved", "exported"):
        loaded = load_pipeline(tmp_path / folder, "cpu")
        assert loaded.learned == pipe.learned and loaded.learned.turbo == [*TIMESTEPS]
        for name, value in student.state_dict().items():
            assert torch.equal(value, loaded.turbo.state_dict()[name])
    pair = XMDPTPipeline.from_pipe(pipe)
    assert pair.turbo is student and pair.learned == pipe.learned
    without = XMDPTPipeline.from_pretrained(tmp_path / "saved", turbo=None)
    assert without.turbo is None and without.learned.scale is None


def test_paths_of_other_timesteps_are_made_anew(pipe, tmp_path):
    with_turbo(pipe, pipe.transformer, None)
    recipe = Recipe(updates=1, rate=1e-3, batch=4)
    used, fresh = tmp_path / "used", tmp_path / "fresh"
    distill_steps(pipe, CONDITION, (999, 600, 300, 40), used, recipe)
    (used / "state.pt").unlink()
    made, expected = (
        distill_steps(pipe, CONDITION, TIMESTEPS, work, recipe).network for work in (used, fresh)
    )
    for name, value in made.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])


def test_latents_are_encoded_in_full_float32(pipe, people):
    seen, data = [], DeepFashion(people, 64)
    pipe.vae.encoder.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    latents_of(pipe, data, data.pictures("train")[:1], 0)
    assert seen == [False]


def test_a_last_step_at_timestep_1_has_steps_behind_it_too(pipe):
    many = with_between(pipe, torch.tensor((999, 400, 1), dtype=torch.float64))
    assert len(many) == 12 and (many.diff() < 0).all() and many[-1] > 0


def test_what_is_not_finite_reaches_no_weight(pipe, tmp_path):
    with pytest.raises(TrainingError, match="update 0: the loss is nan"):
        distill_guidance(pipe, CONDITION, LATENTS * torch.nan, tmp_path, 2.0, Recipe(2, 1e-3, 4))
    assert not [*tmp_path.glob("state*")]

"""Named ways of drawing."""

import runpy

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from helpers.networks import make_pipeline
from helpers.people import SIZE, body
from helpers.repository import ROOT
from PIL import Image

from xmdpt.data.keypoints import annotation_to_pixels
from xmdpt.diffusion import XMDPTScheduler
from xmdpt.flow import make_flow_scheduler
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import Learned, make_solver, plan, presets_of
from xmdpt.weights.load import load_pipeline

LEARNED = [999, 700, 400, 90]


@pytest.fixture
def pipe(tiny_vae):
    made = make_pipeline(tiny_vae)
    made.register_to_config(fast_timesteps=LEARNED)
    return made


@pytest.fixture
def asked(photo):
    return {"source": photo, "pose": body(0.2), "output_type": "latent"}


@pytest.fixture
def photo():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (SIZE, SIZE, 3), generator=generator).to(torch.uint8).numpy()


def draw(pipe, asked, **how):
    return pipe(**asked, generator=torch.Generator().manual_seed(1), **how).images


def test_exact_is_what_no_preset_is(pipe, asked):
    plain = draw(pipe, asked)
    assert torch.equal(draw(pipe, asked, preset="exact"), plain)
    assert torch.equal(draw(pipe, asked, num_inference_steps=50), plain)
    assert pipe.num_timesteps == 50


def test_fast_takes_the_learned_timesteps_and_leaves_the_pipeline_as_it_was(pipe, asked):
    seen = []

    def look(pipe, index, t, tensors):
        seen.append((int(t), type(pipe.scheduler)))
        return tensors

    fast = draw(pipe, asked, preset="fast", callback_on_step_end=look)
    assert seen == [(t, DPMSolverMultistepScheduler) for t in LEARNED]
    assert type(pipe.scheduler) is XMDPTScheduler
    solver = make_solver(pipe.scheduler)
    own, pipe.scheduler = pipe.scheduler, solver
    generator = torch.Generator().manual_seed(1)
    condition = pipe.encode_condition(asked["source"], asked["pose"], generator)
    noise = torch.randn((1, 4, 8, 8), generator=generator)
    assert torch.equal(fast, pipe.denoise(condition, noise, 0, 2.0, 0.01, timesteps=LEARNED))
    pipe.scheduler = own


def test_steps_of_ones_own_override_the_presets(pipe, asked):
    draw(pipe, asked, preset="fast", num_inference_steps=6)
    assert pipe.num_timesteps == 6
    chosen = plan("fast", pipe.scheduler, 6, Learned(LEARNED))
    assert (chosen.steps, chosen.timesteps) == (6, None)


def test_few_solver_steps_are_nearer_to_many_than_few_of_the_papers(pipe, asked):
    many = draw(pipe, asked, num_inference_steps=400)
    fast = draw(pipe, asked, preset="fast", num_inference_steps=12)
    exact = draw(pipe, asked, num_inference_steps=12)
    assert (fast - many).abs().mean() < 0.7 * (exact - many).abs().mean()


def test_what_weights_do_not_have_is_said_with_the_cure(pipe, asked):
    with pytest.raises(ValueError, match="preset 'slow' is not one of exact, fast, turbo"):
        draw(pipe, asked, preset="slow")
    assert pipe.best_preset == "fast"
    pipe.register_to_config(fast_timesteps=None)
    assert pipe.best_preset == "exact"
    with pytest.raises(ValueError, match="no learned timesteps; `xmdpt distill timesteps`"):
        draw(pipe, asked, preset="fast")
    pipe.register_to_config(fast_timesteps=LEARNED)
    pipe.scheduler = make_flow_scheduler()
    assert pipe.best_preset == "exact"
    with pytest.raises(ValueError, match="this one predicts a velocity"):
        draw(pipe, asked, preset="fast")


def test_learned_timesteps_are_saved_with_the_pipeline(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert XMDPTPipeline.from_pretrained(tmp_path).config["fast_timesteps"] == LEARNED


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (DDPMScheduler, {"variance_type": "learned_range"}),
        (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
        (DPMSolverMultistepScheduler, {"final_sigmas_type": "sigma_min"}),
    ],
)
def test_fast_is_the_same_whatever_sampler_it_replaces(pipe, asked, kind, setting):
    expected = draw(pipe, asked, preset="fast")
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **setting)
    assert torch.equal(draw(pipe, asked, preset="fast"), expected)


@pytest.mark.parametrize("preset", ["fast", "turbo"])
def test_a_draw_that_is_stopped_leaves_the_pipeline_as_it_was(pipe, asked, preset):
    pipe.register_modules(turbo=pipe.transformer)
    pipe.register_to_config(turbo_timesteps=LEARNED, turbo_scale=2.0)
    own = pipe.scheduler

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(pipe, asked, preset=preset, callback_on_step_end=stop)
    assert pipe.scheduler is own and pipe.denoiser is None


def test_the_benchmark_takes_no_pictures_of_other_weights(tmp_path):
    check_same = runpy.run_path(str(ROOT / "benchmarks/presets.py"))["check_same"]
    check_same(tmp_path / "exact", "a")
    check_same(tmp_path / "exact", "a")
    with pytest.raises(SystemExit, match="pictures of other weights"):
        check_same(tmp_path / "exact", "b")


def test_a_second_call_meanwhile_is_refused_and_the_scheduler_stays(pipe, asked):
    own = pipe.scheduler

    def again(pipe, index, t, tensors):
        with pytest.raises(RuntimeError, match="drawing already"):
            draw(pipe, asked)
        return tensors

    draw(pipe, asked, preset="fast", callback_on_step_end=again)
    assert pipe.scheduler is own and not pipe.busy


def test_the_bundled_weights_draw_the_same_picture_by_each_preset():
    """A preset moves a picture less than other noise does."""
    small = load_pipeline()
    assert [*presets_of(small.scheduler, small.learned)] == ["exact", "fast", "turbo"]
    person = Image.open(ROOT / "docs/pictures/person.png")
    pose = annotation_to_pixels(np.loadtxt(ROOT / "docs/pictures/pose.txt"), (small.size,) * 2)

    def drawn(preset, seed=0):
        noise = torch.Generator().manual_seed(seed)
        return small(person, pose, preset=preset, generator=noise, output_type="np").images

    fast, turbo, other = drawn("fast"), drawn("turbo"), drawn("fast", seed=1)
    assert 0 < np.abs(turbo - fast).mean() < 0.5 * np.abs(other - fast).mean()

"""Timesteps learned for few steps."""

import numpy as np
import pytest
import torch
from helpers.networks import make_pipeline

from xmdpt.config import ConfigError
from xmdpt.flow import make_flow_scheduler
from xmdpt.presets import make_solver
from xmdpt.training.timesteps import (
    Guided,
    _whole,
    evenly_in_log_snr,
    half_log_snr,
    integrate,
    learn_timesteps,
)

GENERATOR = torch.Generator().manual_seed(0)
CONDITION = torch.randn((12, 32), generator=GENERATOR)
NOISE = torch.randn((12, 4, 8, 8), generator=GENERATOR)


@pytest.fixture(scope="module")
def pipe(tiny_vae):
    return make_pipeline(tiny_vae)


@torch.no_grad()
def test_the_student_is_the_solver_that_the_preset_draws_with(pipe):
    t = [999, 810, 500, 220, 30]
    own = pipe.scheduler
    made = integrate(Guided(pipe), CONDITION, NOISE, torch.tensor(t, dtype=torch.float64))
    pipe.scheduler = make_solver(own)
    wanted = pipe.denoise(CONDITION, NOISE, 0, 2.0, 0.01, timesteps=t)
    pipe.scheduler = own
    assert (made - wanted).abs().max() < 1e-3 * wanted.abs().max()


def test_the_teacher_has_evenly_spaced_log_snr(pipe):
    t = evenly_in_log_snr(pipe, 40)
    alpha_bars = pipe.scheduler.alphas_cumprod.double()
    assert t[0] == pytest.approx(999) and t[-1] == pytest.approx(1)
    gaps = half_log_snr(t, alpha_bars).diff()
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-6)
    whole = half_log_snr(torch.tensor([7.0]), alpha_bars)
    assert whole == pytest.approx(0.5 * float((alpha_bars[7] / (1 - alpha_bars[7])).log()))


def test_whole_timesteps_fall_and_end_above_zero():
    assert _whole(torch.tensor([999.0, 500.4, 500.2, 0.1])) == (999, 500, 499, 1)
    assert _whole(torch.tensor([999.0, 2.0, 0.2, 0.1])) == (999, 3, 2, 1)


def test_learning_ends_nearer_to_the_teacher_on_pairs_it_has_not_seen(pipe):
    weights = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
    learned = learn_timesteps(pipe, CONDITION, NOISE, steps=5, updates=40)
    assert learned.after < 0.9 * learned.before
    t = learned.timesteps
    assert t[0] == 999 and len(t) == 5 and (np.diff(t) < 0).all() and t[-1] > 0
    assert learned == learn_timesteps(pipe, CONDITION, NOISE, steps=5, updates=40)
    for name, value in pipe.transformer.state_dict().items():
        assert torch.equal(value, weights[name])


def test_what_cannot_be_learned_from_is_said(pipe):
    with pytest.raises(ValueError, match="2 steps, 12 pairs: at least 3 and 4"):
        learn_timesteps(pipe, CONDITION, NOISE, steps=2)
    own, pipe.scheduler = pipe.scheduler, make_flow_scheduler()
    with pytest.raises(ConfigError, match="predict noise"):
        learn_timesteps(pipe, CONDITION, NOISE, steps=5)
    pipe.scheduler = own

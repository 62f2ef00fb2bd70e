"""Closed forms of the diffusion process."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

from xmdpt.diffusion import (
    XMDPTScheduler,
    add_noise,
    guidance_weight,
    guide,
    make_scheduler,
    min_snr_weight,
    training_losses,
    variational_bound,
)


def test_schedule_starts_clean_and_ends_in_noise():
    x = torch.full((2, 1, 2, 2), 3.0)
    t = torch.tensor([0, 999])
    clean = add_noise(x, torch.zeros_like(x), t)
    assert clean[0, 0, 0, 0].item() == pytest.approx(3 * math.sqrt(1 - 1e-4), rel=1e-6)
    betas = [1e-4 + (2e-2 - 1e-4) * k / 999 for k in range(1000)]
    alpha_bar = math.exp(sum(math.log1p(-beta) for beta in betas))
    assert clean[1, 0, 0, 0].item() == pytest.approx(3 * math.sqrt(alpha_bar), rel=1e-5)


def test_guidance_weight_is_one_at_the_start_and_the_scale_at_the_end():
    t = torch.tensor([1000, 0])
    for power in (0.01, 1.0, 4.0):
        assert guidance_weight(t, 3.0, power).tolist() == pytest.approx([1.0, 3.0])
    middle = guidance_weight(torch.tensor([500]), 3.0, 1.0)
    assert middle.shape == (1,)
    assert middle.item() == pytest.approx(2.0, abs=1e-6)


def test_guidance_of_weight_one_is_the_conditional_output():
    conditional, unconditional = torch.randn(2, 3, 8, 4, 4)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)


def test_bound_vanishes_for_the_true_noise_and_posterior_variance():
    x, noise = torch.randn(2, 5, 4, 8, 8)
    t = torch.tensor([1, 10, 200, 700, 999])
    bound = variational_bound(noise, -torch.ones_like(x), x, add_noise(x, noise, t), t)
    assert bound.abs().max() < 1e-6


def test_bound_is_the_kl_of_two_gaussians():
    x, noise, eps = torch.randn(3, 1, 4, 8, 8, dtype=torch.float64)
    step = 300
    beta = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - beta, 0)
    x_t = add_noise(x, noise, torch.tensor([step]))
    true_variance = beta[step] * (1 - alpha_bar[step - 1]) / (1 - alpha_bar[step])
    gap = (eps - noise) * beta[step] / ((1 - beta[step]) * (1 - alpha_bar[step])).sqrt()
    true = torch.distributions.Normal(torch.zeros_like(gap), true_variance.sqrt())
    model = torch.distributions.Normal(gap, beta[step].sqrt())
    expected = torch.distributions.kl_divergence(true, model).mean() / math.log(2)
    bound = variational_bound(eps, torch.ones_like(x), x, x_t, torch.tensor([step]))
    assert bound.item() == pytest.approx(expected.item(), rel=1e-5)


def test_bound_trains_the_variance_alone():
    output = torch.zeros(2, 8, 4, 4, requires_grad=True)
    x, noise = torch.randn(2, 2, 4, 4, 4)
    losses = training_losses(lambda x_t, t: output, x, torch.tensor([5, 500]), noise)
    losses["vb"].sum().backward()
    assert output.grad[:, :4].abs().max() == 0
    assert output.grad[:, 4:].abs().min() > 0


def test_min_snr_caps_the_ratio_of_signal_to_noise():
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)
    snr = alpha_bar / (1 - alpha_bar)
    weight = min_snr_weight(torch.arange(1000), 5.0).double()
    torch.testing.assert_close(weight * snr, snr.clamp(max=5.0), rtol=1e-5, atol=0)
    assert weight[0] < 0.001
    assert weight[200:].eq(1).all()


def test_sampler_goes_to_the_next_timestep_of_its_list():
    """The first-order DPM solver is DDIM, and steps along its list: an independent computation."""
    scheduler = make_scheduler()
    scheduler.set_timesteps(7)
    assert scheduler.timesteps.tolist() == [999, 832, 666, 500, 333, 166, 0]
    reference = DPMSolverMultistepScheduler(
        beta_start=1e-4, beta_end=2e-2, beta_schedule="linear", solver_order=1,
        final_sigmas_type="zero",
    )  # fmt: skip
    reference.set_timesteps(timesteps=scheduler.timesteps.tolist())
    x = y = torch.randn(2, 4, 8, 8)
    for t in scheduler.timesteps:
        eps = torch.randn_like(x)
        x = scheduler.step(eps, t, x).prev_sample
        y = reference.step(eps, t, y).prev_sample
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_sampler_recovers_the_picture_from_the_true_noise():
    x, noise = torch.randn(2, 1, 4, 8, 8)
    scheduler = make_scheduler()
    scheduler.set_timesteps(5)
    sample = add_noise(x, noise, torch.tensor([999]))
    for t in scheduler.timesteps:
        sample = scheduler.step(noise, t, sample).prev_sample
    torch.testing.assert_close(sample, x, rtol=1e-3, atol=1e-3)


def test_stochastic_sampler_is_repeatable_and_differs():
    scheduler = make_scheduler()
    scheduler.set_timesteps(5)
    eps, x = torch.randn(2, 1, 4, 8, 8)
    first, again = (
        scheduler.step(eps, 999, x, 1.0, torch.Generator().manual_seed(1)).prev_sample
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, scheduler.step(eps, 999, x).prev_sample)


@pytest.mark.parametrize("setting", [{"prediction_type": "sample"}, {"clip_sample": True}])
def test_settings_that_the_sampler_does_not_have_are_refused(setting):
    scheduler = XMDPTScheduler.from_config(make_scheduler().config, **setting)
    scheduler.set_timesteps(2)
    with pytest.raises(ValueError, match="needs predicted noise"):
        scheduler.step(torch.zeros(1, 4, 2, 2), 999, torch.zeros(1, 4, 2, 2))


def test_step_before_set_timesteps_is_refused():
    with pytest.raises(ValueError, match="set_timesteps"):
        make_scheduler().step(torch.zeros(1), 0, torch.zeros(1))


def test_with_eta_one_a_step_is_ddpms():
    ours = make_scheduler()
    theirs = DDPMScheduler.from_config(ours.config, variance_type="fixed_small")
    eps, x = torch.randn(2, 1, 4, 8, 8)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(1000)
    for t in (999, 500, 1):
        made = ours.step(eps, t, x, 1.0, torch.Generator().manual_seed(0)).prev_sample
        expected = theirs.step(eps, t, x, torch.Generator().manual_seed(0)).prev_sample
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-3)

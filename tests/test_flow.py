"""Flow matching: its path, its loss, and that its sampler walks the path back."""

import pytest
import torch

from xmdpt.flow import draw_flow_timesteps, flow_losses, make_flow_scheduler


def test_timesteps_have_normal_logits():
    t = draw_flow_timesteps(100_000, torch.Generator().manual_seed(0)) / 1000
    logits = (t / (1 - t)).log()
    assert logits.mean().abs() < 0.02 and logits.std().item() == pytest.approx(1, abs=0.02)


def test_the_true_direction_has_no_loss_and_the_variance_half_does_not_count():
    x, noise = torch.randn(2, 5, 4, 8, 8)
    t = torch.tensor([0.0, 1.0, 250.0, 999.0, 1000.0])
    seen = {}

    def model(x_t, timestep):
        seen["x_t"], seen["t"] = x_t, timestep
        return torch.cat([noise - x, torch.full_like(x, 7.0)], dim=1)

    losses = flow_losses(model, x, t, noise)
    assert losses["loss"].shape == (5,) and losses["loss"].max() < 1e-12
    assert torch.equal(seen["t"], t)
    torch.testing.assert_close(seen["x_t"][0], x[0])
    torch.testing.assert_close(seen["x_t"][4], noise[4])
    torch.testing.assert_close(seen["x_t"][2], 0.75 * x[2] + 0.25 * noise[2])


def test_the_loss_is_the_mean_squared_error_of_each_picture():
    x, noise = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    t = torch.tensor([100.0, 900.0])
    wrong = torch.tensor([1.5, 3.0]).view(2, 1, 1, 1).expand(2, 2, 2, 2)
    losses = flow_losses(lambda x_t, t: wrong, x, t, noise)
    assert losses["mse"].tolist() == pytest.approx([0.25, 4.0])
    assert torch.equal(losses["mse"], losses["loss"])


def _walk(velocity, steps):
    """Walk from noise 2 to the end, on numbers in place of latents."""
    scheduler = make_flow_scheduler()
    scheduler.set_timesteps(steps)
    x = torch.full((1, 1, 1, 1), 2.0) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        at = float(t) / 1000
        x = scheduler.step(velocity(scheduler.scale_model_input(x, t), at), t, x).prev_sample
    return x.item()


@pytest.mark.parametrize("steps", [2, 5, 20])
def test_one_picture_is_reached_in_any_number_of_steps(steps):
    # If all pictures are x_0, the path from any noise is straight and ends there.
    assert _walk(lambda x, s: (x - 0.3) / max(s, 1e-3), steps) == pytest.approx(0.3, abs=0.02)


def test_more_steps_come_closer_to_the_flow_of_a_gaussian():
    # Pictures drawn from N(0, 1/4): E[noise - x_0 | x_s] is linear in x_s, and the flow scales x by
    # the ratio of deviations, here 1/2.
    def velocity(x, s):
        variance = (1 - s) ** 2 / 4 + s**2
        return x * (s - (1 - s) / 4) / variance

    errors = [abs(_walk(velocity, steps) - 1.0) for steps in (5, 20, 80)]
    assert errors[0] > 5 * errors[1] > 5 * errors[2]
    x = 2.0
    for step in range(20, 0, -1):
        x -= velocity(x, step / 20) / 20  # Euler
    assert errors[1] < abs(x - 1.0) / 3

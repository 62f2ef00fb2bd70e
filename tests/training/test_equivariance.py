"""EQ-VAE's transforms: how often they are drawn, and that pictures and latents stay in step."""

import pytest
import torch

from xmdpt.support.random import keyed_generator
from xmdpt.training.equivariance import draw_transform, transform


def test_half_of_the_steps_are_transformed_by_scalings_and_turns_alike():
    drawn = [draw_transform(0.5, keyed_generator(0, step)) for step in range(4000)]
    scaled = [factor for factor, _ in drawn if factor != 1]
    turned = [turns for _, turns in drawn if turns]
    assert len(scaled) == pytest.approx(1000, abs=100)
    assert len(turned) == pytest.approx(1000, abs=100)
    assert min(scaled) >= 0.25 and max(scaled) < 1 and {*turned} == {1, 2, 3}
    assert all(factor == 1 or not turns for factor, turns in drawn)
    assert all(draw_transform(0, keyed_generator(1, step)) == (1, 0) for step in range(100))


@pytest.mark.parametrize("factor", [0.25, 0.3, 0.66, 1.0])
def test_pictures_and_latents_keep_their_proportion(factor):
    picture, latent = torch.rand(2, 3, 64, 64), torch.rand(2, 4, 16, 16)
    small, cells = transform(picture, factor, 0, 4), transform(latent, factor, 0, 1)
    assert small.shape[-1] == 4 * cells.shape[-1] == 4 * round(16 * factor)
    # A ramp stays a ramp: the transform moves content, it does not shift it.
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    made = transform(ramp, factor, 0, 4)[0, 0, 0]
    assert (made.diff() > 0).all() and made.mean().item() == pytest.approx(0.5, abs=1e-3)


def test_turns_are_quarter_turns():
    x = torch.arange(4.0).view(1, 1, 2, 2)
    assert transform(x, 1.0, 1, 1)[0, 0].tolist() == [[1, 3], [0, 2]]
    assert torch.equal(transform(transform(x, 1.0, 1, 1), 1.0, 3, 1), x)

"""Directions in which vectors differ, and what a line reads from them."""

import numpy as np
import pytest
import torch

from xmdpt.lessons.probing import components, keep_leading, participation_ratio, read_out


def test_the_participation_ratio_counts_equal_directions():
    axes = torch.eye(6)[:3]
    vectors = torch.cat([axes, -axes])
    assert participation_ratio(vectors + 5) == pytest.approx(3)
    assert participation_ratio(torch.linspace(0, 1, 9)[:, None] * torch.randn(6)) == pytest.approx(
        1
    )


def test_variances_and_directions_make_the_covariance():
    torch.manual_seed(0)
    vectors = torch.randn(20, 4).double() * torch.tensor([3.0, 2.0, 1.0, 0.5])
    variances, directions = components(vectors)
    assert (variances.diff() <= 0).all()
    torch.testing.assert_close(directions.T * variances @ directions, torch.cov(vectors.T))


def test_what_is_kept_is_the_leading_part():
    torch.manual_seed(0)
    vectors = torch.randn(12, 5)
    mean, (_, directions) = vectors.mean(dim=0), components(vectors)
    torch.testing.assert_close(keep_leading(vectors, directions, mean, 5), vectors)
    torch.testing.assert_close(keep_leading(vectors, directions, mean, 0), mean.expand(12, -1))
    distances = [
        (keep_leading(vectors, directions, mean, count) - vectors).norm() for count in range(6)
    ]
    assert distances == sorted(distances, reverse=True)


def test_a_line_reads_what_is_linear_and_nothing_else():
    torch.manual_seed(0)
    vectors, people = torch.randn(400, 6), np.arange(400) // 2
    linear = (vectors @ torch.randn(6, 3) + 7).numpy()
    assert read_out(vectors, linear, people) > 0.97  # the ridge takes a little
    assert read_out(vectors, np.random.default_rng(0).normal(size=(400, 3)), people) < 0.05


def test_a_person_is_never_read_from_other_pictures_of_the_same_person():
    """Vectors and numbers that belong to people, but not to each other."""
    torch.manual_seed(0)
    people = np.arange(60) // 3
    vectors = torch.randn(20, 40)[people]
    known = np.random.default_rng(0).normal(size=(20, 1))[people]
    assert read_out(vectors, known, people) < 0.3
    assert read_out(vectors, known, np.arange(60)) > 0.8, "as it would be, were they mixed"
    with pytest.raises(ValueError, match="2 people cannot be divided into 5 parts"):
        read_out(vectors[:6], known[:6], people[:6])

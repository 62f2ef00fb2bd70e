"""The Frechet distance against closed forms and against scipy's matrix square root."""

import numpy as np
import pytest
import torch
from scipy import linalg

from xmdpt.evaluation.frechet import InceptionFeatures, frechet_distance, moments
from xmdpt.evaluation.protocols import PIDM


def _covariance(rng: np.random.Generator, width: int, samples: int) -> np.ndarray:
    return np.cov(rng.normal(size=(samples, width)) * rng.uniform(0.1, 2, width), rowvar=False)


@pytest.mark.parametrize("width", [2, 17, 64])
def test_equals_the_matrix_square_root(width):
    rng = np.random.default_rng(width)
    a, b = _covariance(rng, width, 3 * width), _covariance(rng, width, 5 * width)
    mean = rng.normal(size=width)
    root = linalg.sqrtm(a @ b).real
    expected = mean @ mean + np.trace(a + b - 2 * root)
    assert frechet_distance((mean, a), (0 * mean, b)) == pytest.approx(expected, rel=1e-6)


def test_diagonal_gaussians():
    """|m|^2 + sum (s_a - s_b)^2."""
    mean, a, b = np.array([3.0, 0, -4]), np.array([1.0, 2, 3]), np.array([2.0, 2, 0])
    distance = frechet_distance((mean, np.diag(a**2)), (0 * mean, np.diag(b**2)))
    assert distance == pytest.approx(25 + 1 + 9, rel=1e-12)


def test_commuting_gaussians():
    """With shared axes the distance is that of the spreads along them."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    a, b = rng.uniform(0, 2, (2, 12))
    mean = np.zeros(12)
    distance = frechet_distance((mean, axes * a**2 @ axes.T), (mean, axes * b**2 @ axes.T))
    assert distance == pytest.approx(((a - b) ** 2).sum(), rel=1e-6)


def test_shifted_features():
    """A shift changes the mean alone: the distance is its squared length."""
    features = np.random.default_rng(0).normal(size=(50, 8))
    shift = np.arange(8) / 4
    assert frechet_distance(features, features + shift) == pytest.approx(shift @ shift, rel=1e-6)


def test_properties():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 16)), rng.normal(size=(30, 16)) * 1.5
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(moments(a), b), rel=1e-12)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b), rel=1e-6)


def test_fewer_samples_than_features():
    """Singular covariances: the nuclear norm of the centred cross product is the exact answer."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(10, 40)), rng.normal(size=(15, 40))
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    cross = (a - mean_a) @ (b - mean_b).T / np.sqrt(9 * 14)
    root = np.linalg.svd(cross, compute_uv=False).sum()
    shift = mean_a - mean_b
    expected = shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_bad_features():
    with pytest.raises(ValueError, match="at least two rows"):
        moments(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="different widths"):
        frechet_distance(np.zeros((3, 4)), np.zeros((3, 5)))


def test_inception_input():
    """The protocol's odd scale is torchvision's `transform_input`, applied to [0, 1]."""
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    torch.set_num_threads(1)
    theirs = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    state = theirs.state_dict()
    mine = InceptionFeatures(state, 299, PIDM.frechet_scale, PIDM.frechet_offset)
    theirs.fc = torch.nn.Identity()
    pictures = torch.rand(1, 3, 256, 176) * 2 - 1
    unit = torch.nn.functional.interpolate((pictures + 1) / 2, (299, 299), mode="bilinear")
    with torch.no_grad():
        torch.testing.assert_close(mine.pooled(pictures), theirs(unit))
    assert mine.pooled(pictures).shape == (1, 2048)

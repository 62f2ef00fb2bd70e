"""Distances of feature sets against closed forms, scipy's matrix root and torchmetrics' kernel."""

import numpy as np
import pytest
from scipy import linalg

from xmdpt.metrics.frechet import (
    FrechetDistance,
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    kernel_within,
    moments,
)


def _covariance(rng: np.random.Generator, width: int, samples: int) -> np.ndarray:
    return np.cov(rng.normal(size=(samples, width)) * rng.uniform(0.1, 2, width), rowvar=False)


@pytest.mark.parametrize("width", [2, 17, 64, 300])
def test_equals_the_matrix_square_root(width):
    rng = np.random.default_rng(width)
    a, b = _covariance(rng, width, 3 * width), _covariance(rng, width, 5 * width)
    mean = rng.normal(size=width)
    root = linalg.sqrtm(a @ b).real
    expected = mean @ mean + np.trace(a + b - 2 * root)
    assert frechet_distance((mean, a), (0 * mean, b)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("samples", [12, 200])
def test_many_sets_against_one_reference(samples):
    """With fewer samples than features, and with more."""
    rng = np.random.default_rng(samples)
    reference = (rng.normal(size=40), _covariance(rng, 40, 100))
    distance = FrechetDistance(reference)
    for _ in range(2):
        x = rng.normal(size=(samples, 40))
        assert distance(x) == pytest.approx(frechet_distance(x, reference), rel=1e-6)


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


@pytest.mark.slow
def test_the_width_of_inception():
    """2048 features of fewer pictures, as in the field: exact by the smaller Gram matrix."""
    rng = np.random.default_rng(5)
    a, b = (rng.normal(size=(n, 2048)) * rng.uniform(0.1, 1, 2048) for n in (300, 400))
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    root = np.linalg.svd((a - mean_a) @ (b - mean_b).T, compute_uv=False).sum()
    root /= np.sqrt(299 * 399)
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_infinity_takes_the_bias_away():
    """Results of just the right distribution: the distance is above 0, its limit about 0."""
    plain, limits = [], []
    for seed in range(8):
        features = np.random.default_rng(seed).normal(size=(400, 16))
        reference = (np.zeros(16), np.eye(16))
        plain.append(frechet_distance(features, reference))
        limits.append(frechet_infinity(features, reference, seed))
    assert min(plain) > 0.15
    assert abs(np.mean(limits)) < 0.2 * np.mean(plain)


def test_infinity_of_full_size_is_the_distance():
    """Where all subsets agree (copies of two points), the limit is the distance of any of them."""
    features = np.tile([[0.0], [2.0]], (500, 1))
    reference = (np.array([1.0]), np.array([[4.0]]))
    assert frechet_distance(features, reference) == pytest.approx(1, abs=0.01)  # (2 - 1)^2
    assert frechet_infinity(features, reference) == pytest.approx(1, abs=0.01)


def test_infinity_needs_more_results_than_features():
    features = np.random.default_rng(0).normal(size=(15, 8))
    assert np.isnan(frechet_infinity(features, (np.zeros(8), np.eye(8))))


def repeated(seed: int, distinct: int, width: int) -> tuple[np.ndarray, list[int]]:
    """A sample of the standard normal, each row one to four times, and which row each one is."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(distinct), rng.integers(1, 5, distinct))
    return rng.normal(size=(distinct, width))[rows], list(rows)


def test_a_repeated_picture_is_no_further_sample():
    """The limit and the kernel distance of a sample of just the right distribution are about 0."""
    limits, kernels = {True: [], False: []}, {True: [], False: []}
    reference = np.random.default_rng(99).normal(size=(2000, 8))
    for seed in range(8):
        features, pictures = repeated(seed, 160, 8)
        for told in (True, False):
            known = pictures if told else None
            limit = frechet_infinity(features, (np.zeros(8), np.eye(8)), seed, pictures=known)
            limits[told].append(limit)
            kernels[told].append(kernel_distance(features, reference, pictures_a=known))
    for values in (limits, kernels):
        assert abs(np.mean(values[True])) < 0.3 * np.mean(values[False])


def test_copies_of_a_sample_have_its_distances():
    features = np.random.default_rng(1).normal(size=(40, 4))
    twice, pictures = np.tile(features, (2, 1)), [*range(40)] * 2
    reference = (np.zeros(4), np.eye(4))
    expected = kernel_distance(features, features + 1)
    assert kernel_distance(twice, features + 1, pictures_a=pictures) == pytest.approx(expected)
    few, copies = np.tile(features[:7], (10, 1)), [*range(7)] * 10
    assert np.isnan(frechet_infinity(few, reference, pictures=copies)), "7 pictures, not 70"


def test_one_picture_is_compared_with_itself():
    assert kernel_within(np.full((5, 1), 2.0), [0] * 5) == pytest.approx((4 + 1) ** 3)


def test_kernel_distance_equals_torchmetrics():
    import torch
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(50, 12)), rng.normal(size=(50, 12)) + 0.3
    expected = poly_mmd(torch.tensor(a), torch.tensor(b)).item()
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(a, b, kernel_within(b)) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_by_hand():
    """One feature: the kernel of x and y is (x y + 1)^3; sets of different sizes."""
    a, b = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0]])
    within_a = (1 + 1 + 27) / 3
    across = (1 + 1 + 8 + 64 + 27 + 343) / 6
    assert kernel_distance(a, b) == pytest.approx(within_a + 64 - 2 * across)


def test_kernel_distance_has_no_bias():
    """Two samples of one distribution: above and below 0, whereas Frechet's is always above."""
    rng = np.random.default_rng(4)
    pairs = [rng.normal(size=(2, 30, 8)) for _ in range(200)]
    distances = np.array([kernel_distance(a, b) for a, b in pairs])
    assert abs(distances.mean()) < 3 * distances.std() / np.sqrt(len(distances))
    assert min(frechet_distance(a, b) for a, b in pairs[:20]) > 0.5

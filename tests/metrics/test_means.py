"""Means over pictures: of each picture's own value, in whatever company it is."""

import numpy as np
import pytest

from xmdpt.metrics.images import psnr, ssim
from xmdpt.metrics.means import mean_scores


def test_a_mean_is_that_of_the_pictures_one_by_one():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
    noise = rng.normal(0, (4, 20), (64, 64, 3, 2)).transpose(3, 0, 1, 2)  # another for each
    made = (truth + noise).clip(0, 255).astype(np.uint8)
    both = mean_scores(made, truth)
    alone = [mean_scores([a], [b]) for a, b in zip(made, truth, strict=True)]
    assert both == pytest.approx({key: np.mean([one[key] for one in alone]) for key in both})
    assert alone[0]["ssim"] == pytest.approx(ssim(made[0], truth[0], 1.2))
    assert alone[0]["psnr"] == pytest.approx(psnr(made[0], truth[0]))
    assert 0 < alone[0]["st_lpips"] < alone[1]["st_lpips"]
    with pytest.raises(ValueError):
        mean_scores(made, truth[:1])

"""LPIPS: equal to the package's own, and its weights found where they lie.

The networks are of the real classes with random weights, saved where torch's hub keeps real ones.
"""

import pytest
import torch
from helpers.networks import package_lpips
from torchvision import models

from xmdpt.metrics.perceptual import TRUNKS, published_lpips
from xmdpt.support.hub import MissingWeights


@pytest.mark.parametrize(
    ("net", "weights"),
    [
        ("alex", models.AlexNet_Weights.IMAGENET1K_V1),
        ("vgg", models.VGG16_Weights.IMAGENET1K_V1),
        ("squeeze", models.SqueezeNet1_1_Weights.IMAGENET1K_V1),
    ],
)
def test_trunks_are_torchvisions(net, weights):
    assert TRUNKS[net].url == weights.url


@pytest.mark.parametrize("net", TRUNKS)
def test_lpips_equals_the_package(net, hub):
    theirs = package_lpips(net, hub)
    noise = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = theirs(noise[:1], noise[1:]).item()
        assert published_lpips(net)(noise[:1], noise[1:]).item() == pytest.approx(
            expected, rel=1e-4
        )


def test_weights_may_lie_in_a_given_folder(hub, no_hub):
    pictures = torch.rand(1, 3, 64, 48) * 2 - 1
    assert published_lpips("squeeze", hub)(pictures, -pictures).item() > 0
    with pytest.raises(MissingWeights, match=f"{no_hub.parent.parent}.* or "):
        published_lpips("squeeze", no_hub.parent.parent)

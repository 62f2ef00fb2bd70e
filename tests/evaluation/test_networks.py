"""Inception as protocols use it: equal to the libraries' own, and named where it is missing.

The networks are of the real classes with random weights, saved where torch's hub keeps real ones.
"""

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import untrained_inception
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision import models

from xmdpt.evaluation.networks import InceptionFeatures, frechet_network, tensorflow_inception
from xmdpt.evaluation.protocols import CLEAN_FID, PYTORCH_FID, get_protocol
from xmdpt.support.hub import MissingWeights


def assert_close(actual, expected):
    """Up to rounding: random weights make features of 1e-7, smaller than any usual tolerance."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() < 1e-3 * expected.abs().max()


def test_the_odd_scale_is_torchvisions(hub):
    """The field's FID feeds torchvision's `transform_input` pictures in [0, 1]."""
    theirs = models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    state = torch.load(hub / "inception_v3_google-0cc3c7bd.pth", weights_only=True)
    theirs.load_state_dict(state)
    theirs.fc = torch.nn.Identity()
    mine = frechet_network(get_protocol("pidm").frechet[0])
    pictures = torch.rand(1, 3, 256, 176) * 2 - 1
    unit = F.interpolate((pictures + 1) / 2, (299, 299), mode="bilinear")
    with torch.no_grad():
        assert_close(mine.pooled(pictures), theirs(unit))
    assert mine.pooled(pictures).shape == (1, 2048)
    with pytest.raises(AssertionError):
        assert_close(mine.pooled(0.9 * pictures), mine.pooled(pictures))


def test_tensorflows_inception_is_torch_fidelitys(hub):
    """On 299x299 pictures nothing is resized: on clean-fid's scale it equals the whole forward."""
    weights = torch.load(hub / URL_INCEPTION_V3.rpartition("/")[2], weights_only=True)
    theirs = untrained_inception()
    torch.nn.Module.load_state_dict(theirs, weights)
    pictures = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8)
    mine = InceptionFeatures(tensorflow_inception(weights), CLEAN_FID)
    with torch.no_grad():
        (expected,) = theirs(pictures)
        assert_close(mine.pooled(pictures / 127.5 - 1), expected)
        with pytest.raises(AssertionError):
            assert_close(mine.pooled(pictures / 150 - 1), expected)


@pytest.mark.parametrize(
    "rules, expected",
    [(PYTORCH_FID, lambda x: x / 127.5 - 1), (CLEAN_FID, lambda x: (x - 128) / 128)],
    ids=["pytorch-fid", "clean-fid"],
)
def test_what_inception_is_fed(rules, expected):
    fed = InceptionFeatures(torch.nn.Identity(), rules)
    levels = torch.linspace(0, 255, 299 * 299 * 3).view(1, 3, 299, 299)
    torch.testing.assert_close(fed.pooled(levels / 127.5 - 1), expected(levels), rtol=0, atol=1e-5)
    assert fed.pooled(torch.zeros(1, 3, 40, 30)).shape == (1, 3, 299, 299)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_damaged_weights_are_named(content, no_hub):
    no_hub.mkdir(parents=True)
    path = no_hub / "inception_v3_google-0cc3c7bd.pth"
    if content is None:
        torch.save({"weight": torch.zeros(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(MissingWeights, match=r"inception_v3_google-0cc3c7bd\.pth") as caught:
        frechet_network(get_protocol("pidm").frechet[0])
    assert "download" in str(caught.value) and "\n" not in str(caught.value)

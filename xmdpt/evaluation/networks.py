"""The frozen networks behind Frechet and perceptual distances, built from a protocol's records."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmdpt.evaluation.protocols import Frechet, Perceptual
from xmdpt.features.encoders import EfficientNetTokens
from xmdpt.metrics.perceptual import LPIPS, STLPIPS, published_lpips
from xmdpt.support.hub import MissingWeights, load_checkpoint

INCEPTION_SIZE = 299


def torchvision_inception(weights: Mapping[str, Tensor]) -> nn.Module:
    """Build ImageNet's Inception v3 up to its 2048 pooled features: what the field's FIDs use."""
    from torchvision.models import inception_v3

    net: nn.Module = inception_v3(weights=None, init_weights=False)
    net.load_state_dict(weights)
    net.fc = nn.Identity()
    return net


def tensorflow_inception(weights: Mapping[str, Tensor]) -> nn.Module:
    """Build the Inception that FID was defined on, as torch-fidelity ported it, up to there.

    Only its layers: what its forward does before them (uint8, TensorFlow's resizing) is up to the
    protocol here.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It only reads weights from a file, and unpickles whatever is in it: so write one of ours.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(dict(weights), path)
        net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )
    layers = [layer for name, layer in net.named_children() if name != "fc"]
    return nn.Sequential(*layers, nn.Flatten())


class InceptionFeatures(nn.Module):
    """An Inception that sees 299x299 (bilinear, no antialias) and x * scale + offset.

    x is in [0, 1]; scale and offset are per channel and set by the protocol.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, net: nn.Module, rules: Frechet) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(rules.scale).view(1, 3, 1, 1))
        self.register_buffer("offset", torch.tensor(rules.offset).view(1, 3, 1, 1))
        self.net = net
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def pooled(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to features (B, 2048)."""
        x, size = (pictures + 1) / 2, (INCEPTION_SIZE, INCEPTION_SIZE)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        features: Tensor = self.net(x * self.scale + self.offset)
        return features


FeatureNetwork = EfficientNetTokens | InceptionFeatures
"""Its `pooled` maps pictures (B, 3, H, W) in [-1, 1] to features (B, D)."""
PerceptualNetwork = STLPIPS | LPIPS
"""`distance` of the `features` of two batches of pictures is (B,)."""


def inception_url(network: str) -> str:
    """Where the weights of a protocol's Inception are published."""
    if network == "torchvision inception":
        from torchvision.models import Inception_V3_Weights

        return str(Inception_V3_Weights.IMAGENET1K_V1.url)
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return str(URL_INCEPTION_V3)


def frechet_network(rules: Frechet, folder: str | Path | None = None) -> FeatureNetwork:
    """Build the network of a Frechet distance, looking for its weights in `folder` first.

    Raises MissingWeights, which names the file.
    """
    if rules.network == "efficientnet_lite0":
        return EfficientNetTokens()
    url = inception_url(rules.network)
    build = (
        torchvision_inception if rules.network == "torchvision inception" else tensorflow_inception
    )
    weights = load_checkpoint(url, f"{rules.name} ({rules.network})", folder)
    try:
        return InceptionFeatures(build(weights), rules)
    except RuntimeError:  # torch's message lists every tensor that does not fit
        message = f"{rules.name}: the file holds other weights; download {url} again"
        raise MissingWeights(message) from None


def perceptual_network(rules: Perceptual, folder: str | Path | None = None) -> PerceptualNetwork:
    """Build the network of a perceptual distance; see `frechet_network`."""
    if rules.net == "st_alex":
        return STLPIPS()
    try:
        return published_lpips(rules.net, folder)
    except ModuleNotFoundError as error:
        raise MissingWeights(f"{rules.name} needs its linear heads: {error}") from None

"""Learned perceptual distances between pictures: ST-LPIPS, and LPIPS if its weights are there."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmdpt.support.hub import MissingWeights, load_checkpoint, package_weights


class Trunk(NamedTuple):
    """A torchvision network whose features LPIPS compares, in stages that end before `ends`."""

    builder: str
    url: str
    channels: tuple[int, ...]
    ends: tuple[int, ...]


ALEX = Trunk(
    "alexnet",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    (64, 192, 384, 256, 256),
    (2, 5, 8, 10, 12),
)
TRUNKS = {
    "alex": ALEX,
    "vgg": Trunk(
        "vgg16",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        (64, 128, 256, 512, 512),
        (4, 9, 16, 23, 30),
    ),
    "squeeze": Trunk(
        "squeezenet1_1",
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        (64, 128, 256, 384, 384, 512, 512),
        (2, 5, 8, 10, 11, 12, 13),
    ),
}


class Blur(nn.Module):
    """Binomial 3x3 filter of each channel, with stride 2 after reflection padding by two."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filt", torch.outer(taps, taps).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, (H + 3) // 2, (W + 3) // 2)."""
        x = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(x, self.filt, stride=2, groups=len(self.filt))


class _LayerDistance(nn.Module):
    """LPIPS' scheme: weighted squared differences of a trunk's features, scaled to unit length.

    It is frozen, yet differentiable in its inputs. Subclasses pass the trunk's `stages` with their
    numbers of `channels`, and load the weights.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, stages: Sequence[nn.Sequential], channels: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in channels)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def _freeze(self) -> None:
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)  # takes two thirds of the time on a CPU

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Map pictures (B, 3, H, W) in [-1, 1] to the stages' unit-length features."""
        x = (pictures - self.shift) / self.scale
        x = x.contiguous(memory_format=torch.channels_last)
        layers = []
        for stage in self.stages:
            x = stage(x)
            # vector_norm, unlike sqrt of a sum, has a gradient of zero where all channels are zero
            layers.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
        return layers

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Return the distances (B,) of two batches of `features`."""
        pairs = zip(self.heads, a, b, strict=True)
        layers = [head((x - y) ** 2).mean(dim=(1, 2, 3)) for head, x, y in pairs]
        return torch.stack(layers).sum(dim=0)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances (B,) of pictures a and b, both (B, 3, H, W) in [-1, 1]."""
        return self.distance(self.features(a), self.features(b))


class STLPIPS(_LayerDistance):
    """Shift-tolerant LPIPS on AlexNet, the stand-in for LPIPS (Ghildyal and Liu, ECCV 2022).

    Its AlexNet downsamples by blurs, so shifting a picture by a pixel hardly changes the score. The
    weights are in the package `stlpips_pytorch`. It is not LPIPS, and its values cannot be compared
    with published LPIPS.
    """

    def __init__(self) -> None:
        layers = (
            (nn.Conv2d(3, 64, 11, padding=2), Blur(64)),
            (nn.MaxPool2d(3, stride=1), Blur(64), nn.Conv2d(64, 192, 5, padding=2)),
            (nn.MaxPool2d(3, stride=1), Blur(192), nn.Conv2d(192, 384, 3, padding=1)),
            (nn.Conv2d(384, 256, 3, padding=1),),
            (nn.Conv2d(256, 256, 3, padding=1),),
        )
        super().__init__([nn.Sequential(*layer, nn.ReLU()) for layer in layers], ALEX.channels)
        path = "weights/vST0.0/alex_shift_tolerant.pth"
        weights = package_weights("stlpips_pytorch", "stlpips_pytorch", path)
        # The file has the same order under other names, with shift and scale first.
        names = sorted(self.state_dict(), key=lambda name: name not in ("shift", "scale"))
        self.load_state_dict(dict(zip(names, weights.values(), strict=True)))
        self._freeze()


class LPIPS(_LayerDistance):
    """LPIPS version 0.1 (Zhang et al., 2018), as in published tables, on one of `TRUNKS`.

    `trunk` is the state dict of torchvision's network, `heads` that of the package `lpips`, with
    the names lin0.model.1.weight and so on.
    """

    def __init__(
        self, trunk: Mapping[str, Tensor], heads: Mapping[str, Tensor], net: str = "alex"
    ) -> None:
        from torchvision import models  # seconds of imports, and ST-LPIPS does without

        layout = TRUNKS[net]
        features = getattr(models, layout.builder)(weights=None).features
        state = {k.removeprefix("features."): v for k, v in trunk.items() if "features." in k}
        features.load_state_dict(state)
        stages = [features[a:b] for a, b in itertools.pairwise((0, *layout.ends))]
        super().__init__(stages, layout.channels)
        for index, head in enumerate(self.heads):
            head.load_state_dict({"weight": heads[f"lin{index}.model.1.weight"]})
        self._freeze()


def published_lpips(net: str = "alex", folder: str | Path | None = None) -> LPIPS:
    """LPIPS with its published weights: torchvision's trunk and the heads of the package `lpips`.

    The trunk's file is read from `folder` or torch.hub's folder, or downloaded to the latter.
    Raises MissingWeights if that fails.
    """
    url = TRUNKS[net].url
    trunk = load_checkpoint(url, f"LPIPS on {net}", folder)
    heads = package_weights("lpips", "lpips", f"weights/v0.1/{net}.pth")
    try:
        return LPIPS(trunk, heads, net)
    except RuntimeError:  # torch lists every tensor that does not fit
        raise MissingWeights(
            f"LPIPS on {net}: the file holds other weights; download {url} again"
        ) from None


def make_perceptual(name: str) -> nn.Module:
    """The perceptual loss `st_lpips` or `lpips`: pictures a, b -> (B,)."""
    if name == "st_lpips":
        return STLPIPS()
    try:
        return published_lpips()
    except MissingWeights as error:
        raise MissingWeights(f"{error}; or set vae.perceptual: st_lpips") from None

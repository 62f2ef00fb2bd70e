"""Learned perceptual distances between pictures: ST-LPIPS, and LPIPS where its weights are."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmdpt.config import ConfigError
from xmdpt.encoders import package_weights


class Blur(nn.Module):
    """Binomial 3x3 filter with stride 2 after reflection padding by two, channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filt", torch.outer(taps, taps).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, (H + 3) // 2, (W + 3) // 2)."""
        x = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(x, self.filt, stride=2, groups=len(self.filt))


class _LayerDistance(nn.Module):
    """LPIPS' scheme on AlexNet's five stages: unit-length channels, weighted squared differences.

    Frozen, yet differentiable in its inputs. Subclasses give `stages` and load the weights.
    """

    channels = (64, 192, 384, 256, 256)

    def __init__(self, stages: list[nn.Sequential]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in self.channels)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def _freeze(self) -> None:
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)  # two thirds of the time on a CPU

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Map pictures (B, 3, H, W) in [-1, 1] to the five stages' unit-length features."""
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

    AlexNet whose strides are taken by blurs, so that a picture moved by a pixel scores about the
    same. Weights: package `stlpips_pytorch`, file `vST0.0/alex_shift_tolerant.pth`. It is not
    LPIPS, and its numbers do not compare with published LPIPS.
    """

    def __init__(self) -> None:
        layers = (
            (nn.Conv2d(3, 64, 11, padding=2), Blur(64)),
            (nn.MaxPool2d(3, stride=1), Blur(64), nn.Conv2d(64, 192, 5, padding=2)),
            (nn.MaxPool2d(3, stride=1), Blur(192), nn.Conv2d(192, 384, 3, padding=1)),
            (nn.Conv2d(384, 256, 3, padding=1),),
            (nn.Conv2d(256, 256, 3, padding=1),),
        )
        super().__init__([nn.Sequential(*layer, nn.ReLU()) for layer in layers])
        path = "weights/vST0.0/alex_shift_tolerant.pth"
        weights = package_weights("stlpips_pytorch", "stlpips_pytorch", path)
        # The file names its layers otherwise, in the same order: first the scaling, as here.
        names = sorted(self.state_dict(), key=lambda name: name not in ("shift", "scale"))
        self.load_state_dict(dict(zip(names, weights.values(), strict=True)))
        self._freeze()


class LPIPS(_LayerDistance):
    """LPIPS on AlexNet, version 0.1 (Zhang et al., 2018), the one of published tables.

    `alexnet` is torchvision's state dict, `heads` that of the package `lpips` (alex, v0.1), whose
    five tensors are named lin0.model.1.weight and so on.
    """

    def __init__(self, alexnet: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        from torchvision.models import alexnet as build

        features = build(weights=None).features
        state = {k.removeprefix("features."): v for k, v in alexnet.items() if "features." in k}
        features.load_state_dict(state)
        cuts = (0, 2, 5, 8, 10, 12)  # after each ReLU
        super().__init__([features[a:b] for a, b in itertools.pairwise(cuts)])
        for index, head in enumerate(self.heads):
            head.load_state_dict({"weight": heads[f"lin{index}.model.1.weight"]})
        self._freeze()


def published_lpips() -> LPIPS:
    """LPIPS with its own weights: torchvision's AlexNet and the heads of the package `lpips`.

    AlexNet's file is taken from torch.hub's folder, or fetched into it. Raises ConfigError where
    it is missing and cannot be fetched.
    """
    from torchvision.models import AlexNet_Weights

    weights = AlexNet_Weights.IMAGENET1K_V1
    heads = package_weights("lpips", "lpips", "weights/v0.1/alex.pth")
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        alexnet = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"LPIPS needs AlexNet's weights, which are not at {path} and could not be fetched "
            f"({error}); bring {weights.url} there, or set vae.perceptual: st_lpips"
        ) from None
    return LPIPS(alexnet, heads)


def make_perceptual(name: str) -> nn.Module:
    """The perceptual distance of that name, `st_lpips` or `lpips`: pictures a, b -> (B,)."""
    return STLPIPS() if name == "st_lpips" else published_lpips()

"""Learned perceptual distances between pictures: ST-LPIPS."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


class STLPIPS(nn.Module):
    """Shift-tolerant LPIPS on AlexNet, the stand-in for LPIPS (Ghildyal and Liu, ECCV 2022).

    AlexNet whose strides are taken by blurs, so that a picture moved by a pixel scores about the
    same; channels of five layers are normalised, their squared differences weighted by a learned
    vector per layer and averaged over space. Frozen, yet differentiable in its inputs: it serves
    as a loss too. Weights: package `stlpips_pytorch`, file `vST0.0/alex_shift_tolerant.pth`. It is
    not LPIPS, and its numbers do not compare with published LPIPS.
    """

    channels = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        layers = (
            (nn.Conv2d(3, 64, 11, padding=2), Blur(64)),
            (nn.MaxPool2d(3, stride=1), Blur(64), nn.Conv2d(64, 192, 5, padding=2)),
            (nn.MaxPool2d(3, stride=1), Blur(192), nn.Conv2d(192, 384, 3, padding=1)),
            (nn.Conv2d(384, 256, 3, padding=1),),
            (nn.Conv2d(256, 256, 3, padding=1),),
        )
        self.stages = nn.ModuleList(nn.Sequential(*layer, nn.ReLU()) for layer in layers)
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in self.channels)
        self.register_buffer("shift", torch.empty(1, 3, 1, 1))
        self.register_buffer("scale", torch.empty(1, 3, 1, 1))
        path = "weights/vST0.0/alex_shift_tolerant.pth"
        weights = package_weights("stlpips_pytorch", "stlpips_pytorch", path)
        # The file names its layers otherwise, in the same order: first the scaling, as here.
        names = sorted(self.state_dict(), key=lambda name: name not in ("shift", "scale"))
        self.load_state_dict(dict(zip(names, weights.values(), strict=True)))
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)  # two thirds of the time on a CPU

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Map pictures (B, 3, H, W) in [-1, 1] to the five layers' unit-length features."""
        x = (pictures - self.shift) / self.scale
        x = x.contiguous(memory_format=torch.channels_last)
        layers = []
        for stage in self.stages:
            x = stage(x)
            # vector_norm, unlike sqrt of a sum, has a gradient of zero where all channels are zero
            layers.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
        return layers

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances (B,) of pictures a and b, both (B, 3, H, W) in [-1, 1]."""
        distance = torch.zeros(len(a), device=a.device)
        for head, x, y in zip(self.heads, self.features(a), self.features(b), strict=True):
            distance = distance + head((x - y) ** 2).mean(dim=(1, 2, 3))
        return distance

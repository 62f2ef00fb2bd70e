"""Figures 3, 4 and 13 and Table 4, from the modules, shapes and counts of live models.

Models are on the meta device, where tensors have shapes and no values: nothing is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from xmdpt.model import RelativePositionBias, XMDPTTransformer2DModel
from xmdpt.paper.published import configurations

IMAGENET_CLASSES = 1001
"""Rows of DiT's class embedding, with the one for guidance."""

Shapes = dict[str, tuple[int, ...]]
"""Name of a module -> shape of its output, without the batch."""
Point = tuple[float, float]


@cache
def live_model(size: str, mip_attention: str = "self_cross") -> XMDPTTransformer2DModel:
    """X-MDPT-S, -B or -L of Table 4, on the meta device."""
    shape = next(c for c in configurations() if c.method == f"X-MDPT-{size}")
    settings = {"hidden_size": shape.width, "depth": shape.layers, "num_heads": shape.heads}
    with torch.device("meta"):
        model: XMDPTTransformer2DModel = XMDPTTransformer2DModel(
            **settings, mip_attention=mip_attention
        )
    return model


def _count(module: nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def part_counts(model: XMDPTTransformer2DModel) -> dict[str, int]:
    """Parameters of each part of Figure 3; they add up to the whole model."""
    decode = model.config.decode_layers
    blocks = [_count(block) for block in model.blocks]
    positions = model.pos_embed.numel() + model.decoder_pos_embed.numel()
    return {
        "embeddings": _count(model.patch_embed) + _count(model.time_embedding) + positions,
        "encoder blocks": sum(blocks[:-decode]),
        "decoder blocks": sum(blocks[-decode:]),
        "final layer": _count(model.final_layer),
        "CANet": _count(model.canet),
        "MIPNet": _count(model.mipnet),
    }


# Table 4


def configuration_counts(size: str) -> dict[str, int]:
    """Parameters of DiT, MDT and X-MDPT of one size, counted from our modules.

    MDT is TDNet with a class embedding in place of CANet. DiT is that without the learned positions
    and position biases. X-MDPT is the model at inference, without MIPNet; MDT's own side block is
    likewise for training only, and not counted.
    """
    model = live_model(size, "none")
    parts = part_counts(model)
    positions = model.pos_embed.numel() + model.decoder_pos_embed.numel()
    biases = sum(_count(part) for part in model.modules() if isinstance(part, RelativePositionBias))
    with torch.device("meta"):
        classes = _count(nn.Embedding(IMAGENET_CLASSES, model.config.hidden_size))
    mdt = sum(parts.values()) - parts["CANet"] + classes
    return {"DiT": mdt - positions - biases, "MDT": mdt, "X-MDPT": sum(parts.values())}


def configuration_table() -> pd.DataFrame:
    """Table 4: the paper's parameter counts beside those of live models, in millions."""
    rows = []
    for printed in configurations():
        method, size = printed.method.rsplit("-", 1)
        counted = configuration_counts(size)[method] / 1e6
        rows.append(
            {
                "method": printed.method,
                "layers": printed.layers,
                "width": printed.width,
                "heads": printed.heads,
                "M parameters, paper": str(printed.parameters),
                "M parameters, counted": f"{counted:.2f}",
                "difference in %": f"{100 * (counted / float(printed.parameters) - 1):+.2f}",
            }
        )
    return pd.DataFrame(rows)


def part_table() -> pd.DataFrame:
    """Parameters of X-MDPT by part, in millions; MIPNet is for training only."""
    counts = {f"X-MDPT-{size}": part_counts(live_model(size)) for size in "SBL"}
    frame = pd.DataFrame(counts) / 1e6
    frame.loc["all, in training"] = frame.sum()
    frame.loc["all, at inference"] = frame.loc["all, in training"] - frame.loc["MIPNet"]
    return frame.map("{:.2f}".format).rename_axis("part").reset_index()


# Figure 3


def trace_shapes(model: XMDPTTransformer2DModel) -> Shapes:
    """The shape of each module's last output in a masked training pass."""
    shapes: Shapes = {}

    def remember(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if isinstance(output, torch.Tensor):
                shapes[name] = tuple(output.shape[1:])

        return hook

    hooks = [module.register_forward_hook(remember(name)) for name, module in model.named_modules()]
    config = model.config
    with torch.device("meta"), torch.no_grad():
        latent = torch.empty(1, config.in_channels, config.sample_size, config.sample_size)
        pose = torch.empty(1, config.pose_tokens, config.pose_width)
        source = torch.empty(1, config.source_tokens, config.source_width)
        condition = model.encode_condition(pose, source, latent)
        noise = torch.empty(1, model.num_patches)
        keep = model.kept_tokens(noise)
        output = model.masked_forward(latent, torch.empty(1), condition, latent, noise).sample
    for hook in hooks:
        hook.remove()
    inputs = {"latent": latent, "pose": pose, "source": source, "output": output}
    shapes |= {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}
    # The encoder runs twice. Its last call, which the hooks remember, was on the whole source.
    shapes["kept"] = (keep.shape[1], config.hidden_size)
    return shapes


TINTS = {"CANet": "#eaf3ea", "TDNet": "#e8eef7", "MIPNet": "#fbeee6"}
FILLS = {"CANet": "#b9d8b9", "TDNet": "#b7cbe8", "MIPNet": "#f2c9ab", "input": "#eeeeee"}
EDGE = "#444444"


@dataclass(frozen=True)
class Box:
    """A box of the drawing; (x, y) is its centre."""

    x: float
    y: float
    width: float = 20
    height: float = 5.2

    @property
    def top(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> Point:
        return self.x, self.y - self.height / 2

    @property
    def left(self) -> Point:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> Point:
        return self.x + self.width / 2, self.y


def _draw_patch(axes: Axes, low_left: Point, size: Point, radius: float, **style: Any) -> None:
    shape = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(FancyBboxPatch(low_left, *size, boxstyle=shape, **style))


def _draw_box(axes: Axes, box: Box, fill: str, title: str, note: str = "") -> Box:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = {"facecolor": FILLS[fill], "edgecolor": EDGE, "linewidth": 0.8}
    _draw_patch(axes, corner, (box.width, box.height), 0.9, **style)
    shift = 1.05 if note else 0
    axes.text(box.x, box.y + shift, title, ha="center", va="center", fontsize=8)
    axes.text(box.x, box.y - 1.2, note, ha="center", va="center", fontsize=6.8, color="#333333")
    return box


def _draw_region(axes: Axes, left: float, low: float, right: float, high: float, name: str) -> None:
    style = {"facecolor": TINTS[name], "edgecolor": "none", "zorder": 0}
    _draw_patch(axes, (left, low), (right - left, high - low), 1.5, **style)
    axes.text(left + 1.5, high - 1, name, va="top", fontsize=11, fontweight="bold", color="#333333")


def _draw_arrow(axes: Axes, *points: Point, dashed: bool = False) -> None:
    """An arrow through `points`, with its head at the last."""
    style = "--" if dashed else "-"
    for start, end in pairwise(points[:-1]):
        axes.plot(*zip(start, end, strict=True), style, color=EDGE, linewidth=0.9, zorder=1)
    arrow = {"arrowstyle": "-|>", "color": EDGE, "linewidth": 0.9, "linestyle": style}
    arrow |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", points[-1], points[-2], arrowprops=arrow, zorder=1)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _size(module: nn.Module | None) -> str:
    """Parameters in millions, or in full if there are few."""
    count = _count(module)
    return f"{count / 1e6:.2f} M" if count >= 1e4 else f"{count:,}"


def _draw_canet(axes: Axes, model: XMDPTTransformer2DModel, shapes: Shapes) -> Box:
    """The left third; returns the box that outputs the condition vector."""
    _draw_region(axes, 1, 12, 61, 62, "CANet")
    canet = model.canet
    columns = (
        ("pose", 11, "skeleton → DINOv2-B", canet.pose_projection, canet.pose_pool),
        ("source", 31, "source photo → DINOv2-G", canet.source_projection, canet.source_pool),
        ("latent", 51, "source → VAE", model.patch_embed, canet.local_pool),
    )
    total = Box(31, 46, 5, 4)
    for name, x, title, first, pool in columns:
        start = _draw_box(axes, Box(x, 6, 18.6), "input", title, _shape(shapes[name]))
        local = name == "latent"
        label = "patch embedding, shared" if local else "Linear, GELU, LN"
        key = "patch_embed" if local else f"canet.{name}_projection"
        note = _shape(shapes[key]) + ("" if local else f"   {_size(first)}")
        fill = "TDNet" if local else "CANet"
        middle = _draw_box(axes, Box(x, 20, 18.6), fill, label, note)
        key = "canet.local_pool" if local else f"canet.{name}_pool"
        note = f"{_shape(shapes[key])}   {_size(pool)}"
        end = _draw_box(axes, Box(x, 32, 18.6), "CANet", "1×1 conv over tokens", note)
        _draw_arrow(axes, start.top, middle.bottom)
        _draw_arrow(axes, middle.top, end.bottom)
        to = total.bottom if x == total.x else (total.left if x < total.x else total.right)
        _draw_arrow(axes, end.top, *([] if x == total.x else [(x, total.y)]), to)
    _draw_box(axes, total, "CANet", "+")
    note = f"{_shape(shapes['canet.join'])}   {_size(canet.join)}"
    join = _draw_box(axes, Box(31, 55, 22), "CANet", "Linear, GELU, LN", note)
    _draw_arrow(axes, total.top, join.bottom)
    return join


def _draw_tdnet(axes: Axes, model: XMDPTTransformer2DModel, shapes: Shapes) -> dict[str, Box]:
    """The middle third; returns its boxes by name."""
    _draw_region(axes, 64, 12, 99, 98, "TDNet")
    config, x = model.config, 81.5
    encoder = config.depth - config.decode_layers
    block = f"{_size(model.blocks[0])} each"
    kept, tokens = _shape(shapes["kept"]), _shape(shapes["patch_embed"])
    final = _shape(shapes["final_layer"])
    rows = (
        ("input", 6, "input", "noisy latent", _shape(shapes["latent"])),
        ("embed", 20, "TDNet", "patch embedding + positions", tokens),
        ("keep", 31, "TDNet", f"keep {1 - config.mask_ratio:.0%} of the tokens", kept),
        ("encoder", 43, "TDNet", f"{encoder} encoder blocks", f"{kept}   {block}"),
        ("positions", 57, "TDNet", "mask tokens + decoder positions", tokens),
        ("decoder", 75, "TDNet", f"{config.decode_layers} decoder blocks", f"{tokens}   {block}"),
        ("final", 86, "TDNet", "final layer, unpatchify", f"{final} → {_shape(shapes['output'])}"),
        ("output", 104, "input", "noise and variance", _shape(shapes["output"])),
    )
    boxes = {
        name: _draw_box(axes, Box(x, y, 27), fill, title, note)
        for name, y, fill, title, note in rows
    }
    for below, above in pairwise(boxes):
        if below != "positions":
            _draw_arrow(axes, boxes[below].top, boxes[above].bottom)
    return boxes


def _draw_mipnet(
    axes: Axes, model: XMDPTTransformer2DModel, shapes: Shapes, tdnet: dict[str, Box]
) -> None:
    """The right third, between encoder and decoder."""
    _draw_region(axes, 103, 50, 139, 98, "MIPNet")
    axes.text(137.5, 97, "training only", va="top", ha="right", fontsize=8, style="italic")
    x, previous = 121, tdnet["positions"]
    tokens = _shape(shapes["patch_embed"])
    source = _draw_box(axes, Box(x, 6, 27), "input", "source latent", _shape(shapes["latent"]))
    encoder = Box(x, 43, 27)
    label = f"the same {model.config.depth - model.config.decode_layers} encoder blocks"
    _draw_box(axes, encoder, "TDNet", label, f"{tokens}   shared, no gradient")
    embed = _draw_box(axes, Box(x, 20, 27), "TDNet", "patch embedding + positions", "shared")
    _draw_arrow(axes, source.top, embed.bottom)
    _draw_arrow(axes, embed.top, encoder.bottom)
    boxes, mipnet = {}, model.mipnet
    assert mipnet is not None, "live models have MIPNet"
    for name, y in zip(mipnet.order, (66, 78), strict=False):
        block = mipnet.blocks[name]
        note = f"{_shape(shapes[f'mipnet.blocks.{name}'])}   {_size(block)}"
        boxes[name] = _draw_box(axes, Box(x, y, 27), "MIPNet", f"{name}-attention block", note)
        if previous is tdnet["positions"]:
            # Around, so that the line does not cross the decoder.
            _draw_arrow(axes, previous.right, (101, previous.y), (101, y), boxes[name].left)
        else:
            _draw_arrow(axes, previous.top, boxes[name].bottom)
        previous = boxes[name]
    out = _draw_box(axes, Box(x, 90, 27), "MIPNet", "kept tokens pass unchanged", tokens)
    _draw_arrow(axes, previous.top, out.bottom)
    side = 137
    cross = boxes.get("cross", previous)
    _draw_arrow(axes, encoder.right, (side, encoder.y), (side, cross.y), cross.right, dashed=True)
    axes.text(side - 0.6, 58, "keys, values", rotation=90, ha="right", va="center", fontsize=7)
    decoder = tdnet["decoder"]
    _draw_arrow(axes, out.left, (101, out.y), (101, decoder.y), decoder.right)
    _draw_arrow(axes, tdnet["positions"].top, decoder.bottom, dashed=True)
    note = "at inference: all tokens,\nno masks, straight on"
    axes.text(decoder.x + 1, 66, note, fontsize=7, style="italic", va="center")


def _draw_condition(
    axes: Axes, model: XMDPTTransformer2DModel, join: Box, tdnet: dict[str, Box]
) -> None:
    """The time embedding, its sum with the condition vector, and the arrows from there to TDNet."""
    note = f"{model.config.hidden_size}   {_size(model.time_embedding)}"
    time = _draw_box(axes, Box(11, 75, 18.6), "TDNet", "time embedding of t", note)
    total = _draw_box(axes, Box(31, 75, 5, 4), "TDNet", "+")
    _draw_arrow(axes, join.top, total.bottom)
    _draw_arrow(axes, time.right, total.left)
    _draw_arrow(axes, total.right, (62.5, total.y), tdnet["decoder"].left)
    for name in ("encoder", "final"):
        box = tdnet[name]
        _draw_arrow(axes, (62.5, total.y), (62.5, box.y), box.left)
    axes.text(36, 76, "c, to every block of TDNet and MIPNet", fontsize=7.5, style="italic")
    axes.text(31.8, 65.5, "y, once a picture", fontsize=7.5, style="italic")


def _draw_block(axes: Axes) -> None:
    """The inside of a block, from left to right."""
    steps = (
        ("LN, scale, shift", 10.6),
        ("attention with\nposition bias", 11),
        ("gate, +", 6.4),
        ("LN, scale, shift", 10.6),
        ("MLP", 5),
        ("gate, +", 6.4),
    )
    text = "A block: c sets its scales, shifts and gates (adaLN-Zero)"
    axes.text(1, 96, text, fontsize=8.5, va="center")
    left, previous = 1.0, None
    for title, width in steps:
        box = _draw_box(axes, Box(left + width / 2, 90, width), "TDNet", "")
        axes.text(box.x, box.y, title, ha="center", va="center", fontsize=6.8)
        if previous is not None:
            _draw_arrow(axes, previous.right, box.left)
        left, previous = left + width + 2, box


def architecture_figure(size: str = "B") -> Figure:
    """Figure 3, with MIPNet from Figure 4: a masked training pass, shapes without the batch."""
    model = live_model(size)
    shapes = trace_shapes(model)
    figure = Figure(figsize=(12.6, 9.7), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 140), ylim=(0, 109), aspect="equal")
    axes.axis("off")
    join = _draw_canet(axes, model, shapes)
    tdnet = _draw_tdnet(axes, model, shapes)
    _draw_mipnet(axes, model, shapes, tdnet)
    _draw_condition(axes, model, join, tdnet)
    _draw_block(axes)
    total = sum(part_counts(model).values()) / 1e6
    without = total - _count(model.mipnet) / 1e6
    text = f"X-MDPT-{size}: {total:.2f} M parameters to train, {without:.2f} M at inference"
    axes.text(1, 105, text, fontsize=10.5, fontweight="bold", va="center")
    return figure


def sizes_figure() -> Figure:
    """Figure 13: parameters of S, B and L by part."""
    colors = ("#8da9c4", "#b7cbe8", "#5f7fae", "#34517d", "#b9d8b9", "#f2c9ab")
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots()
    labels = []
    for row, size in enumerate("SBL"):
        config, start = live_model(size).config, 0.0
        parts = part_counts(live_model(size))
        for (name, count), color in zip(parts.items(), colors, strict=True):
            label = name if row == 0 else None
            axes.barh(row, count / 1e6, 0.6, start, color=color, label=label)
            start += count / 1e6
        shape = f"{config.depth} layers, width {config.hidden_size}, {config.num_heads} heads"
        labels.append(f"X-MDPT-{size}\n{shape}")
        without = start - parts["MIPNet"] / 1e6
        axes.text(
            start + 4, row, f"{start:.2f} M\n{without:.2f} M at inference", va="center", fontsize=8
        )
    axes.set_yticks(range(3), labels)
    axes.invert_yaxis()
    axes.set(xlabel="million parameters", xlim=(0, 600))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=6, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1))
    return figure

"""Figures of the lessons that take more than a few lines to draw."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from xmdpt.data.keypoints import COLORS, JOINTS, joint_names, missing
from xmdpt.paper.figures import ASPECT
from xmdpt.paper.scores import heading

Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Label -> x and y."""


def joints_figure(picture: np.ndarray, keypoints: np.ndarray, skeleton: np.ndarray) -> Figure:
    """A photo with its joints named, beside the skeleton picture drawn from them.

    picture and skeleton uint8 (S, S, 3); keypoints (18, 2) in their pixels, -1 missing.
    """
    width = 2.6
    figure = Figure(figsize=(2 * width + 2.4, width * ASPECT + 0.3), layout="constrained")
    named, drawn = figure.subplots(1, 2)
    named.imshow(picture, aspect=ASPECT)
    drawn.imshow(skeleton, aspect=ASPECT)
    absent = missing(keypoints)
    middle = keypoints[~absent, 0].mean()
    for side, align in ((-1, "right"), (1, "left")):
        rows = [n for n in np.flatnonzero(~absent) if (keypoints[n, 0] < middle) == (side < 0)]
        rows.sort(key=lambda n: keypoints[n, 1])
        heights = _apart([keypoints[n, 1] for n in rows], 0.06 * len(picture))
        for n, height in zip(rows, heights, strict=True):
            color = np.array(COLORS[n][::-1]) / 255  # OpenCV draws blue, green, red
            named.plot(*keypoints[n], "o", color=color, markeredgecolor="black", markersize=5)
            arrow = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.6}
            at = (-4 if side < 0 else picture.shape[1] + 3, height)
            named.annotate(
                JOINTS[n].replace("_", " "), keypoints[n], at, arrowprops=arrow,
                ha=align, va="center", fontsize=7, annotation_clip=False,
            )  # fmt: skip
    named.set_title(f"not seen: {joint_names(absent) or 'none'}", fontsize=8)
    drawn.set_title("what the model is given", fontsize=8)
    for axes in (named, drawn):
        axes.set(xticks=[], yticks=[])
    return figure


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Increasing heights, each moved down until it is `gap` from the one before."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    return moved


def heat_maps(maps: Mapping[str, np.ndarray], title: str, cell: float = 1.5) -> Figure:
    """Labelled maps (H, W) side by side, on one colour scale with zero in white."""
    figure = Figure(figsize=(cell * len(maps) + 0.8, cell + 0.8), layout="constrained")
    line = np.atleast_1d(figure.subplots(1, len(maps)))
    top = max(np.abs(values).max() for values in maps.values())
    for axes, (label, values) in zip(line, maps.items(), strict=True):
        image = axes.imshow(values, cmap="RdBu_r", vmin=-top, vmax=top)
        axes.set(xticks=[], yticks=[])
        axes.set_title(label, fontsize=8)
    figure.colorbar(image, ax=line.tolist(), fraction=0.05, pad=0.01)
    figure.suptitle(title, fontsize=10)
    return figure


def cosine_figure(cosines: np.ndarray, thumbnails: Sequence[np.ndarray], title: str) -> Figure:
    """Cosine similarities (K, K), with the picture of each row and column."""
    count = len(thumbnails)
    figure = Figure(figsize=(0.42 * count + 1.8, 0.5 * count + 1.2), layout="constrained")
    shares = {"width_ratios": [1.2, count], "height_ratios": [1.2, count]}
    (corner, top), (left, main) = figure.subplots(2, 2, gridspec_kw=shares)
    corner.axis("off")
    for axes, strip, extent in (
        (top, np.hstack(thumbnails), (0, count, 0, 1)),
        (left, np.vstack(thumbnails), (0, 1, 0, count)),
    ):
        axes.imshow(strip, extent=extent, aspect="auto")
        axes.axis("off")
    off_diagonal = cosines[~np.eye(count, dtype=bool)]
    image = main.imshow(
        cosines, extent=(0, count, 0, count), aspect="auto", vmin=off_diagonal.min(), vmax=1
    )
    main.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=[top, main], fraction=0.04, label="cosine similarity")
    figure.suptitle(title, fontsize=10)
    return figure


def curves(
    lines: Lines, title: str, xlabel: str, ylabel: str, log: str = "", mark: str = ""
) -> Figure:
    """Lines (x, y) by label; `log` names the logarithmic axes, and `mark` is the marker."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for label, (x, y) in lines.items():
        axes.plot(x, y, marker=mark, markersize=4, label=label)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def hide_patches(picture: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """A picture, uint8 (S, S, 3), with patches in grey where `keep` (N,), row by row, is False."""
    grid = int(np.sqrt(len(keep)))
    cell = len(picture) // grid
    shown = np.kron(keep.reshape(grid, grid), np.ones((cell, cell))).astype(bool)
    return np.where(shown[..., None], picture, np.uint8(150))


def panels(lines: Mapping[str, Lines], title: str, xlabel: str) -> Figure:
    """A panel of lines for each metric, with an arrow that points to the better end."""
    figure = Figure(figsize=(3.1 * len(lines), 3.2), layout="constrained")
    row = np.atleast_1d(figure.subplots(1, len(lines)))
    for axes, (metric, by_label) in zip(row, lines.items(), strict=True):
        for label, (x, y) in by_label.items():
            axes.plot(x, y, marker="o", markersize=3, label=label)
        axes.set_title(heading(metric), fontsize=9)
        axes.set_xlabel(xlabel, fontsize=8)
        axes.grid(alpha=0.3)
    row[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure

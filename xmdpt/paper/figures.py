"""Drawing of the paper's figures: grids of pictures, training curves, scaling."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from xmdpt.data.deepfashion import read_picture
from xmdpt.data.pairs import mangle, possible_pairs
from xmdpt.data.stores import find_files
from xmdpt.metrics.labels import comparable
from xmdpt.paper.claims import INVARIANT
from xmdpt.paper.exhibits import DPI
from xmdpt.paper.published import scores
from xmdpt.paper.scores import PRINTED, Results, heading

ASPECT = 16 / 11  # about DeepFashion's 750 x 1101; the networks see it squashed to a square
CELL = 0.95  # width in inches; more if the pictures have more pixels than it can show
STYLES = (("-", "."), ("--", "x"), ("-.", "+"), (":", "1"))
"""Of lines and their markers: each serves ten colours."""
CLOSEST = 1e-6  # smallest distance from a cosine of 1 that Figure 5 shows
SIZES = {"size_s": "S", "base_b": "B", "size_l": "L"}


def picture_grid(
    rows: Mapping[str, Sequence[np.ndarray | None]],
    title: str,
    columns: Sequence[str] = (),
) -> Figure:
    """A grid of uint8 (S, S, 3) pictures, in DeepFashion's aspect; None leaves a cell empty.

    `rows` are labelled on the left, `columns` above.
    """
    width = max(len(pictures) for pictures in rows.values())
    shown = [picture for pictures in rows.values() for picture in pictures if picture is not None]
    scale = max([1, *(picture.shape[1] / (CELL * DPI) for picture in shown)])
    cell = CELL * scale
    size = (cell * width + 0.8 * scale, cell * ASPECT * len(rows) + 0.5 * scale)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), width, squeeze=False)
    for line, (label, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=False):
            if picture is not None:
                axis.imshow(picture, aspect=ASPECT)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=8 * scale)
    for axis, text in zip(axes[0], columns, strict=False):
        axis.set_title(text, fontsize=7 * scale)
    figure.suptitle(title, fontsize=10 * scale)
    return figure


def note_figure(text: str) -> Figure:
    """A sentence in place of a figure that the profile cannot make."""
    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, text, ha="center", va="center", style="italic")
    return figure


def _results(folder: str | Path) -> dict[tuple[str, str], Path]:
    """Mangled names of (source, target) -> the picture below `folder`.

    A name may follow any of the conventions in use; files that are named after no pair are left
    out.
    """
    found: dict[tuple[str, str], Path] = {}
    for name in find_files(Path(folder)):
        found |= dict.fromkeys(possible_pairs(name), Path(folder) / name)
    return found


def drawn_pairs(
    folder: str | Path, pairs: Sequence[tuple[str, str]], size: int
) -> list[np.ndarray | None]:
    """The pictures that a method drew of the pairs, resized to `size`; None if there is none."""
    found = _results(folder)
    pictures: list[np.ndarray | None] = []
    for source, target in pairs:
        path = found.get((mangle(source), mangle(target)))
        if path is None:
            pictures.append(None)
            continue
        picture = Image.fromarray(read_picture(path))
        pictures.append(np.array(picture.resize((size, size), Image.Resampling.BICUBIC)))
    return pictures


def other_methods(root: str | Path) -> list[Path]:
    """The folders with results of other methods, sorted by name."""
    return sorted(path for path in Path(root).glob("[!.]*") if path.is_dir())


def common_pairs(
    folders: Iterable[str | Path], pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The (source, target) pairs that every folder has a picture of."""
    found = [_results(folder) for folder in folders]
    return [
        pair for pair in pairs if all((mangle(pair[0]), mangle(pair[1])) in one for one in found)
    ]


def _nines(axes: Axes) -> None:
    """Scale a cosine's axis so that 0.9 to 0.99 is as long as 0.99 to 0.999, and so on."""
    axes.set_yscale(
        "function",
        functions=(
            lambda value: -np.log10(np.clip(1 - np.asarray(value), CLOSEST, None)),
            lambda nines: 1 - 10.0 ** -np.asarray(nines),
        ),
    )
    ticks = ["0", "0.9", "0.99", "0.999", "0.9999", "0.99999", "0.999999"]
    axes.set_yticks([float(tick) for tick in ticks], ticks, minor=False)


def invariance_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Figure 5 and its control: cosines of condition vectors over each run's training."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    texts = {
        "cosine_person": "views of one person (the paper's curve)",
        "cosine_people": "different people (the control)",
    }
    values = [history[column] for history in histories.values() for column in texts]
    for axes, (column, text) in zip(panels, texts.items(), strict=True):
        for number, (name, history) in enumerate(histories.items()):
            style, marker = STYLES[number // 10 % 4]
            line = {"label": name, "color": f"C{number}", "linestyle": style, "marker": marker}
            axes.plot(history["step"], history[column], **line)
        _nines(axes)
        lowest = min((value.min() for value in values), default=0.9)
        axes.set_ylim(lowest - 0.5 * (1 - lowest), 1 - CLOSEST)
        axes.set(title=text, xlabel="training step", ylabel="mean cosine similarity")
        axes.grid(alpha=0.3)
    panels[0].axhline(
        INVARIANT, color="black", linewidth=0.8, linestyle=":", label=f"the paper's {INVARIANT}"
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5,
                  fontsize=8, frameon=False)  # fmt: skip
    return figure


Point = tuple[float, float, float]
"""A value, and how far its interval extends below and above."""
Line = dict[str, Point]
"""Size of the model -> point."""


def _our_point(row: Mapping[str, Any], key: str) -> Point | None:
    value = row.get(key)
    if value is None:
        return None
    low, high = (row.get(end, {}).get(key, value) for end in ("low", "high"))
    return value, max(value - low, 0), max(high - value, 0)


def _our_line(results: Results, checkpoint: str, key: str) -> Line:
    """Our points; for a distance between collections, only those of `comparable` rows."""
    rows = {size: results.rows(run).get(checkpoint, {}) for run, size in SIZES.items()}
    if not any(key in row.get("low", {}) for row in rows.values()):
        rows = {size: rows[size] for size in comparable(rows)}
    points = {size: _our_point(row, key) for size, row in rows.items()}
    return {size: point for size, point in points.items() if point is not None}


def _scaling_lines(results: Results, metric: str) -> tuple[dict[str, Line], dict[str, Line]]:
    """Training length -> line, of the paper's runs and of ours."""
    key = results.metric(metric)
    ours = {
        "ablations' checkpoint": _our_line(results, "ablation", key),
        "main checkpoint": _our_line(results, "main", key),
    }
    printed: dict[str, Line] = {"300k to 350k steps": {}, "800k steps": {}}
    for run, size in SIZES.items():
        rows = [row for row in scores() if (row.table, row.size, row.run) == ("1", 256, run)]
        rows.sort(key=lambda row: row.steps or 0)
        for line, row in zip(printed.values(), rows, strict=True):
            if getattr(row, metric) is not None:
                line[size] = (float(getattr(row, metric)), 0.0, 0.0)
    return printed, ours


def _draw_scaling(axes: Axes, lines: dict[str, Line], absent: str) -> None:
    """A panel of Figure 6: a line for each training length that has points, with intervals.

    `absent` is what it says where none has.
    """
    places = {size: place for place, size in enumerate(SIZES.values())}
    for number, (label, line) in enumerate(lines.items()):
        if not line:
            continue
        values, below, above = zip(*line.values(), strict=True)
        x = [places[size] + (-0.04, 0.04)[number] for size in line]
        axes.errorbar(
            x, values, (below, above), capsize=3, elinewidth=1, label=label,
            color=f"C{number}", marker="o",
        )  # fmt: skip
    axes.set(xticks=list(places.values()), xticklabels=list(places), xlim=(-0.3, 2.3))
    axes.set_xlabel("size")
    axes.grid(alpha=0.3)
    if not any(lines.values()):
        axes.set_yticks([])
        axes.text(0.5, 0.5, absent, ha="center", transform=axes.transAxes)


def scaling_figure(results: Results) -> Figure:
    """Figure 6: metrics over the model size at two training lengths, the paper's above ours."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    grid = figure.subplots(2, len(PRINTED))
    for column, metric in enumerate(PRINTED):
        printed, ours = _scaling_lines(results, metric)
        _draw_scaling(grid[0, column], printed, "not printed")
        _draw_scaling(grid[1, column], ours, "not made")
        grid[0, column].set_title(PRINTED[metric], fontsize=10)
        grid[1, column].set_title(heading(results.metric(metric)), fontsize=10)
    shown: dict[str, Any] = {}
    for row, whose in zip(grid, ("the paper's", "ours"), strict=True):
        row[0].set_ylabel(whose)
        for axes in row:  # a line may have points in some panels alone
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                shown.setdefault(f"{whose}: {label}", handle)
    figure.legend(
        [*shown.values()], [*shown], loc="outside lower center", ncols=4, fontsize=8,
        frameon=False,
    )  # fmt: skip
    return figure

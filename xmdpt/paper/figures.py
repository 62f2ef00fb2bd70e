"""The paper's figures as matplotlib draws them: grids of pictures, curves and scaling."""

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
from xmdpt.metrics.labels import METRICS, comparable
from xmdpt.paper.claims import INVARIANT
from xmdpt.paper.exhibits import DPI
from xmdpt.paper.published import scores
from xmdpt.paper.scores import PRINTED, Results

ASPECT = 16 / 11  # DeepFashion's pictures are 750 x 1101; the networks' are squashed squares
CELL = 0.95  # inches wide, or more where pictures have more pixels than that shows
STYLES = ("-", "--", "-.", ":")
CLOSEST = 1e-6  # what Figure 5 still tells from a cosine of 1
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
    """What stands where a profile cannot make a figure: a sentence."""
    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, text, ha="center", va="center", style="italic")
    return figure


def _results(folder: str | Path) -> dict[tuple[str, str], Path]:
    """The pictures below `folder` by the mangled names of their (source, target).

    Files whose names are not a pair's, in any of the field's spellings, are left out.
    """
    found = {}
    for name in find_files(Path(folder)):
        found |= dict.fromkeys(possible_pairs(name), Path(folder) / name)
    return found


def drawn_pairs(
    folder: str | Path, pairs: Sequence[tuple[str, str]], size: int
) -> list[np.ndarray | None]:
    """The pictures that a method drew of (source, target) pairs, None where there is none.

    Pictures of another size are squashed to `size`.
    """
    found, pictures = _results(folder), []
    for source, target in pairs:
        path = found.get((mangle(source), mangle(target)))
        if path is None:
            pictures.append(None)
            continue
        picture = Image.fromarray(read_picture(path))
        pictures.append(np.array(picture.resize((size, size), Image.Resampling.BICUBIC)))
    return pictures


def other_methods(root: str | Path = "data/methods") -> list[Path]:
    """The folders of results of other methods that the user has put there, by name."""
    return sorted(path for path in Path(root).glob("[!.]*") if path.is_dir())


def common_pairs(
    folders: Iterable[str | Path], pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The (source, target) pairs that every one of the folders has a picture of."""
    found = [_results(folder) for folder in folders]
    return [
        pair for pair in pairs if all((mangle(pair[0]), mangle(pair[1])) in one for one in found)
    ]


def _nines(axes: Axes) -> None:
    """Give a cosine's axis as much room from 0.99 to 0.999 as from 0.9 to 0.99, and so on."""
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
    """Figure 5 and its control: cosines of condition vectors along the training of runs."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    texts = {
        "cosine_person": "views of one person (the paper's curve)",
        "cosine_people": "different people (the control)",
    }
    values = [history[column] for history in histories.values() for column in texts]
    for axes, (column, text) in zip(panels, texts.items(), strict=True):
        for number, (name, history) in enumerate(histories.items()):
            line = {"label": name, "color": f"C{number}", "linestyle": STYLES[number // 10 % 4]}
            axes.plot(history["step"], history[column], marker=".", **line)
        _nines(axes)
        lowest = min((value.min() for value in values), default=0.9)
        axes.set_ylim(lowest - 0.5 * (1 - lowest), 1 - CLOSEST)
        axes.set(title=text, xlabel="training step", ylabel="mean cosine similarity")
        axes.grid(alpha=0.3)
    panels[0].axhline(
        INVARIANT, color="black", linewidth=0.8, linestyle=":", label=f"the paper's {INVARIANT}"
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
                  fontsize=8, frameon=False)  # fmt: skip
    return figure


Point = tuple[float, float, float]
"""A value, and how far its interval reaches below and above it."""


def _our_point(row: Mapping[str, Any], key: str) -> Point | None:
    value = row.get(key)
    if value is None:
        return None
    low, high = (row.get(end, {}).get(key, value) for end in ("low", "high"))
    return value, max(value - low, 0), max(high - value, 0)


def _our_line(results: Results, checkpoint: str, key: str) -> dict[str, Point]:
    """Size -> point; of a distance between sets, only of `comparable` rows."""
    rows = {size: results.rows(run).get(checkpoint, {}) for run, size in SIZES.items()}
    if not any(key in row.get("low", {}) for row in rows.values()):
        rows = {size: rows[size] for size in comparable(rows)}
    points = {size: _our_point(row, key) for size, row in rows.items()}
    return {size: point for size, point in points.items() if point is not None}


def _scaling_lines(results: Results, metric: str) -> tuple[dict, dict]:
    """Checkpoint -> size -> point, of the paper's runs and of ours."""
    key = results.metric(metric)
    ours = {
        "ablations' checkpoint": _our_line(results, "ablation", key),
        "main checkpoint": _our_line(results, "main", key),
    }
    printed: dict[str, dict[str, Point]] = {"300k to 350k steps": {}, "800k steps": {}}
    for run, size in SIZES.items():
        rows = [row for row in scores() if (row.table, row.size, row.run) == ("1", 256, run)]
        for line, row in zip(printed.values(), sorted(rows, key=lambda r: r.steps), strict=True):
            if getattr(row, metric) is not None:
                line[size] = (float(getattr(row, metric)), 0.0, 0.0)
    return printed, ours


def _draw_scaling(axes: Axes, lines: dict[str, dict[str, Point]]) -> None:
    """A panel of Figure 6: a line for each length of training, with intervals."""
    places = {size: place for place, size in enumerate(SIZES.values())}
    for shift, (label, line) in zip((-0.04, 0.04), lines.items(), strict=True):
        values, below, above = zip(*line.values(), strict=True) if line else ((), (), ())
        x = [places[size] + shift for size in line]
        axes.errorbar(x, values, (below, above), marker="o", label=label, capsize=3, elinewidth=1)
    axes.set(xticks=list(places.values()), xticklabels=list(places), xlim=(-0.3, 2.3))
    axes.set_xlabel("size")
    axes.grid(alpha=0.3)
    if not any(lines.values()):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not printed", ha="center", transform=axes.transAxes)


def scaling_figure(results: Results) -> Figure:
    """Figure 6: metrics against the size of the model, at two training lengths; paper above."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    grid = figure.subplots(2, len(PRINTED))
    for column, metric in enumerate(PRINTED):
        key = results.metric(metric)
        heading = f"{METRICS[key].label} {'↑' if METRICS[key].higher else '↓'}"
        printed, ours = _scaling_lines(results, metric)
        _draw_scaling(grid[0, column], printed)
        _draw_scaling(grid[1, column], ours)
        grid[0, column].set_title(PRINTED[metric], fontsize=10)
        grid[1, column].set_title(heading, fontsize=10)
    handles, labels = [], []
    for axes, whose in zip(grid[:, 0], ("the paper's", "ours"), strict=True):
        axes.set_ylabel(whose)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.append(handle)
            labels.append(f"{whose}: {label}")
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure

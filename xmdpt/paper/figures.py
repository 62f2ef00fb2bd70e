"""The paper's figures as matplotlib draws them: grids of pictures, curves and scaling."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from xmdpt.data.deepfashion import read_picture
from xmdpt.data.pairs import result_name
from xmdpt.labels import METRICS
from xmdpt.paper.published import scores
from xmdpt.paper.scores import PRINTED, Results

ASPECT = 16 / 11  # DeepFashion's pictures are 750 x 1101; the networks' are squashed squares
CELL = 0.95  # inches wide
SIZES = {"size_s": "S", "base_b": "B", "size_l": "L"}


def picture_grid(
    rows: Mapping[str, Sequence[np.ndarray | None]],
    title: str,
    columns: Sequence[str] = (),
    cell: float = CELL,
) -> Figure:
    """A grid of uint8 (S, S, 3) pictures, in DeepFashion's aspect; None leaves a cell empty.

    `rows` are labelled on the left, `columns` above.
    """
    width = max(len(pictures) for pictures in rows.values())
    size = (cell * width + 0.8, cell * ASPECT * len(rows) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), width, squeeze=False)
    for line, (label, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=False):
            if picture is not None:
                axis.imshow(picture, aspect=ASPECT)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=8)
    for axis, text in zip(axes[0], columns, strict=False):
        axis.set_title(text, fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure


def note_figure(text: str) -> Figure:
    """What stands where a profile cannot make a figure: a sentence."""
    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, text, ha="center", va="center", style="italic")
    return figure


def drawn_pairs(
    folder: str | Path, pairs: Sequence[tuple[str, str]], size: int
) -> list[np.ndarray | None]:
    """The pictures that a method drew of (source, target) pairs, None where there is none.

    Pictures of another size are squashed to `size`.
    """
    pictures: list[np.ndarray | None] = []
    for pair in pairs:
        path = Path(folder) / result_name(*pair)
        if not path.is_file():
            pictures.append(None)
            continue
        picture = Image.fromarray(read_picture(path))
        pictures.append(np.array(picture.resize((size, size), Image.Resampling.BICUBIC)))
    return pictures


def other_methods(root: str | Path = "data/methods") -> list[Path]:
    """The folders of results of other methods that the user has put there, by name."""
    return sorted(path for path in Path(root).glob("*") if path.is_dir())


def common_pairs(
    folders: Iterable[str | Path], pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The (source, target) pairs that every one of the folders has a picture of."""
    paths = [Path(folder) for folder in folders]
    return [pair for pair in pairs if all((path / result_name(*pair)).is_file() for path in paths)]


def invariance_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Figure 5 and its control: cosines of condition vectors along the training of runs."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    texts = {
        "cosine_person": "views of one person (the paper's curve)",
        "cosine_people": "different people (the control)",
    }
    for axes, (column, text) in zip(panels, texts.items(), strict=True):
        for name, history in histories.items():
            axes.plot(history["step"], history[column], marker=".", label=name)
        axes.set(
            title=text, xlabel="training step", ylabel="mean cosine similarity", ylim=(None, 1)
        )
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return figure


def _scaling_lines(results: Results, metric: str) -> tuple[dict, dict]:
    """Checkpoint -> (sizes, values) of the paper's and of our runs."""
    ours: dict[str, dict[str, float]] = {"ablation": {}, "main": {}}
    printed: dict[str, dict[str, float]] = {"300k to 350k steps": {}, "800k steps": {}}
    for run, size in SIZES.items():
        for checkpoint, line in ours.items():
            value = results.rows(run).get(checkpoint, {}).get(results.metric(metric))
            if value is not None:
                line[size] = value
        rows = [row for row in scores() if (row.table, row.size, row.run) == ("1", 256, run)]
        for line, row in zip(printed.values(), sorted(rows, key=lambda r: r.steps), strict=True):
            if getattr(row, metric) is not None:
                line[size] = float(getattr(row, metric))
    return printed, ours


def scaling_figure(results: Results) -> Figure:
    """Figure 6: metrics against the size of the model, at two training lengths; paper above."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    grid = figure.subplots(2, len(PRINTED))
    for column, metric in enumerate(PRINTED):
        key = results.metric(metric)
        heading = f"{METRICS[key].label} {'↑' if METRICS[key].higher else '↓'}"
        for axes, lines, title in zip(
            grid[:, column], _scaling_lines(results, metric), (PRINTED[metric], heading),
            strict=True,
        ):  # fmt: skip
            for label, line in lines.items():
                axes.plot(list(line), list(line.values()), marker="o", label=label)
            axes.set_title(title, fontsize=10)
            if not any(lines.values()):
                axes.text(0.5, 0.5, "not printed", ha="center", transform=axes.transAxes)
            axes.set_xlabel("size")
            axes.grid(alpha=0.3)
    for axes, text in zip(grid[:, 0], ("the paper's", "ours"), strict=True):
        axes.set_ylabel(text)
        axes.legend(fontsize=8)
    return figure

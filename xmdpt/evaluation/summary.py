"""Several result folders side by side: numbers with intervals, a table and a figure."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from xmdpt.data.deepfashion import read_picture
from xmdpt.evaluation.evaluate import (
    LABELS,
    bootstrap_interval,
    evaluate,
    evaluate_pairs,
    training_moments,
)
from xmdpt.evaluation.protocols import PIDM, get_protocol
from xmdpt.evaluation.results import find_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scores = dict[str, dict[str, Any]]

HIGHER_IS_BETTER = {
    "ssim": True,
    "psnr": True,
    "silhouette_iou": True,
    "st_lpips": False,
    "fd_effnet": False,
    "lpips": False,
    "fid": False,
    "ssim_pidm": True,
    "psnr_pidm": True,
}
DIGITS = 5  # significant ones: what another number of threads does not change


def _pidm_pixels(folder: Path, reference_dir: Path) -> pd.DataFrame:
    """SSIM and PSNR at PIDM's 256x256, as columns ssim_pidm and psnr_pidm."""
    rules = replace(PIDM, perceptual=None)
    with warnings.catch_warnings(action="ignore"):  # that results are squashed is the point
        pairs = evaluate_pairs(folder, reference_dir, rules, progress=False)
    return pairs[list(PIDM.pair_metrics)].add_suffix("_pidm")


def summarise(
    folders: Mapping[str, Path],
    reference_dir: str | Path,
    train_dir: str | Path,
    protocol: str,
    seed: int,
    *,
    progress: bool = True,
) -> Scores:
    """Score result folders, given by name, under one protocol: name -> metric -> value.

    Under another protocol than `pidm`, its SSIM and PSNR are added as `ssim_pidm`, `psnr_pidm`.
    `low` and `high` hold the 95 % bootstrap interval over people of every metric of single
    pictures. Values are rounded, so that the same pictures give the same bytes.
    """
    rules = get_protocol(protocol)
    first = find_pictures(next(iter(folders.values())))[0]
    height, width = read_picture(first).shape[:2]
    train = training_moments(train_dir, rules, (height, width), progress=progress)
    scores: Scores = {}
    for name, folder in folders.items():
        pairs = evaluate_pairs(folder, reference_dir, rules, progress=progress)
        if rules.name != PIDM.name:
            pairs = pairs.join(_pidm_pixels(folder, Path(reference_dir)))
        values = evaluate(folder, reference_dir, train, rules, pairs=pairs, progress=progress)
        metrics = [column for column in pairs.columns if column not in LABELS]
        ends = {key: bootstrap_interval(pairs[key], seed, pairs["person"]) for key in metrics}
        scores[name] = {key: _round(value) for key, value in values.items()}
        for index, end in enumerate(("low", "high")):
            scores[name][end] = {key: _round(interval[index]) for key, interval in ends.items()}
    return scores


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def score_frame(scores: Scores) -> pd.DataFrame:
    """Return the plain numbers of `summarise`: a row per result folder, a column per metric."""
    known = [metric for metric in HIGHER_IS_BETTER if any(metric in row for row in scores.values())]
    rows = {name: {metric: row.get(metric) for metric in known} for name, row in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=known)


def score_table(scores: Scores, caption: str) -> str:
    """Return a Markdown table: arrows point to better, the best of each column is bold."""
    frame = score_frame(scores)
    arrows = [f"{key} {'↑' if HIGHER_IS_BETTER[key] else '↓'}" for key in frame.columns]
    lines = ["| | " + " | ".join(arrows) + " |", "|---" * (len(arrows) + 1) + "|"]
    best = {key: max if HIGHER_IS_BETTER[key] else min for key in frame.columns}
    for name, row in frame.iterrows():
        cells = []
        for key, value in row.items():
            text = f"{value:.4g}"
            cells.append(f"**{text}**" if value == best[key](frame[key]) else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{caption}"


def score_figure(scores: Scores) -> "Figure":
    """Return a figure of one bar panel per metric, with the intervals that `summarise` gives."""
    from matplotlib.figure import Figure

    frame = score_frame(scores)
    figure = Figure(figsize=(2.4 * len(frame.columns), 3), layout="constrained")
    colors = [f"C{index}" for index in range(len(frame))]
    panels = figure.subplots(1, len(frame.columns), squeeze=False)[0]
    for axes, key in zip(panels, frame.columns, strict=True):
        values = frame[key]
        axes.bar(range(len(frame)), values, color=colors)
        for place, (name, value) in enumerate(values.items()):
            if key in scores[name].get("low", {}):
                low, high = scores[name]["low"][key], scores[name]["high"][key]
                spread = [[max(value - low, 0)], [max(high - value, 0)]]
                axes.errorbar(place, value, spread, color="black", capsize=3)
        axes.set_title(f"{key} {'↑' if HIGHER_IS_BETTER[key] else '↓'}", fontsize=10)
        axes.set_xticks(range(len(frame)), frame.index, rotation=35, ha="right", fontsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure

"""Several result folders side by side: numbers with intervals, a table and a figure."""

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from xmdpt.evaluation.evaluate import (
    check_networks,
    evaluate,
    evaluate_pairs,
    result_size,
    training_statistics,
)
from xmdpt.evaluation.features import Statistics
from xmdpt.evaluation.preparation import follows_results
from xmdpt.evaluation.protocols import PIDM, Protocol, Size, get_protocol
from xmdpt.evaluation.results import Pair
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.labels import LABELS, METRICS, best_values, comparable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scores = dict[str, dict[str, Any]]

DIGITS = 5  # significant ones: what another number of threads does not change


class TrainingStatistics:
    """The training pictures' statistics under a protocol, made once for each size that counts."""

    def __init__(self, train_dir: str | Path | None, rules: Protocol, **options: Any) -> None:
        """`options` are those of `training_statistics`."""
        self.train_dir, self.rules, self.options = train_dir, rules, options
        self._known: dict[Size | None, Mapping[str, Statistics]] = {}

    def at(self, own: Size) -> Mapping[str, Statistics] | None:
        """For results of a size; None without training pictures."""
        if self.train_dir is None:
            return None
        # The size decides how pictures are brought to a common one, and which LMDB they come from.
        steps = [self.rules.pixels, *(one.steps for one in self.rules.frechet)]
        key = own if any(follows_results(one) for one in steps) else None
        if key not in self._known:
            found = training_statistics(self.train_dir, self.rules, own, **self.options)
            self._known[key] = found
        return self._known[key]

    @property
    def counts(self) -> dict[str, int]:
        """How many training pictures each distance was taken against, of those made."""
        found = next(iter(self._known.values()), {})
        return {name: len(statistics.features) for name, statistics in found.items()}


def _pidm_pixels(folder: Path, reference_dir: Path, only: Collection[Pair] | None) -> pd.DataFrame:
    """SSIM and PSNR at PIDM's 256x256, as columns ssim_pidm and psnr_pidm."""
    rules = replace(PIDM, perceptual=())
    with warnings.catch_warnings(action="ignore"):  # that results are squashed is the point
        pairs = evaluate_pairs(folder, reference_dir, rules, only=only, progress=False)
    return pairs[["ssim", "psnr"]].add_suffix("_pidm")


def score_folder(
    folder: Path,
    reference_dir: Path,
    train: TrainingStatistics,
    seed: int,
    only: Collection[Pair] | None = None,
    *,
    enlarged: bool = False,
    weights: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score one result folder under the protocol of `train`: metric -> value, `low` and `high`.

    `enlarged` adds PIDM's SSIM and PSNR at 256x256. Values are rounded, so that the same pictures
    give the same bytes. The table of `evaluate_pairs` comes second.
    """
    rules, options = train.rules, {"weights": weights, "device": device, "progress": progress}
    pairs = evaluate_pairs(folder, reference_dir, rules, only=only, **options)
    if enlarged:
        pairs = pairs.join(_pidm_pixels(folder, reference_dir, only))
    statistics = train.at(result_size(folder / pairs["result"][0]))
    values = evaluate(folder, reference_dir, statistics, rules, pairs=pairs, **options)
    metrics = [column for column in pairs.columns if column not in LABELS]
    ends = {key: bootstrap_interval(pairs[key], seed, pairs["person"]) for key in metrics}
    row: dict[str, Any] = {key: _round(value) for key, value in values.items()}
    for index, end in enumerate(("low", "high")):
        row[end] = {key: _round(interval[index]) for key, interval in ends.items()}
    return row, pairs


def summarise(
    folders: Mapping[str, Path],
    reference_dir: str | Path,
    train_dir: str | Path,
    protocol: str,
    seed: int,
    *,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> tuple[Scores, pd.DataFrame]:
    """Score result folders, given by name, under one protocol: name -> metric -> value.

    Under another protocol than `pidm`, its SSIM and PSNR are added as `ssim_pidm`, `psnr_pidm`.
    `low` and `high` hold the 95 % bootstrap interval over people of every metric of single
    pictures. A folder named `truth` has the distances to the training pictures alone. The second
    result has a line per pair, rounded too, with the folder's name as its `row`. Statistics of the
    training pictures are kept in `cache_dir`, if one is given, and taken from there.
    Raises MissingWeights before anything is scored where a metric's network is not at hand.
    """
    rules = get_protocol(protocol)
    check_networks(rules)
    train = TrainingStatistics(train_dir, rules, cache_dir=cache_dir, progress=progress)
    options = {"enlarged": rules.name != PIDM.name, "progress": progress}
    scores, tables = {}, []
    for name, folder in folders.items():
        scores[name], pairs = score_folder(
            Path(folder), Path(reference_dir), train, seed, **options
        )
        tables.append(pairs.assign(row=name))
    if "truth" in scores:  # compared with itself it is perfect, which says nothing
        row = scores["truth"]
        single = {*row["low"], "low", "high"}
        scores["truth"] = {key: row[key] for key in row.keys() - single}
    return scores, _round_table(pd.concat(tables, ignore_index=True))


def paired_gains(
    pairs: pd.DataFrame, ours: str, others: Iterable[str], seed: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """By how much the row `ours` beats `others` on the pairs it shares with each of them.

    Other -> metric of single pictures -> (low, high), the 95 % bootstrap interval over people of
    the mean difference, above zero where `ours` is better. `pairs` is the table of `summarise`.
    """
    indexed = pairs.set_index(["source", "target"])
    mine = indexed[indexed["row"] == ours]
    gains = {}
    for other in others:
        both = mine.merge(
            indexed[indexed["row"] == other],
            left_index=True,
            right_index=True,
            suffixes=("", "_other"),
        )
        ends = {}
        for key in (key for key in METRICS if key in pairs):
            gain = both[key] - both[f"{key}_other"]
            gain = gain if METRICS[key].higher else -gain
            if np.isfinite(gain).any():  # of perfect pictures on both sides PSNR has no difference
                ends[key] = tuple(map(_round, bootstrap_interval(gain, seed, both["person"])))
        gains[other] = ends
    return gains


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _round_table(pairs: pd.DataFrame) -> pd.DataFrame:
    numbers = pairs.select_dtypes("number").columns
    return pairs.assign(**{name: pairs[name].map(_round) for name in numbers})


def score_frame(scores: Scores) -> pd.DataFrame:
    """Return the plain numbers of scores: a row per result folder, a column per metric."""
    known = [metric for metric in METRICS if any(metric in row for row in scores.values())]
    rows = {name: {metric: row.get(metric) for metric in known} for name, row in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=known, dtype=float)


def _cell(row: Mapping[str, Any], key: str, best: float | None) -> str:
    value, digits = row.get(key), METRICS[key].decimals
    if value is None:
        return ""
    text = f"{value:.{digits}f}"
    text = f"**{text}**" if value == best else text
    if key in row.get("low", {}):
        text += f" ({row['low'][key]:.{digits}f} to {row['high'][key]:.{digits}f})"
    return text


def score_table(scores: Scores, caption: str, compete: bool = True) -> str:
    """Return a Markdown table: arrows point to better, the best of each column is bold.

    In brackets are the intervals of metrics of single pictures. `LIMITS` do not compete, nor do
    rows of fewer pairs than others, and none where `compete` is False; a column has the pairs of
    each where they differ.
    """
    frame = score_frame(scores)
    arrows = [f"{key} {'↑' if METRICS[key].higher else '↓'}" for key in frame.columns]
    rivals, best = best_values(scores, frame.columns) if compete else ([], {})
    rows = [["", *arrows]] + [
        [name, *(_cell(row, key, best.get(key) if name in rivals else None) for key in frame)]
        for name, row in scores.items()
    ]
    if len({row.get("count") for row in scores.values()}) > 1:
        pairs = ["pairs", *(f"{row.get('count', 0):.0f}" for row in scores.values())]
        rows = [[name, count, *cells] for (name, *cells), count in zip(rows, pairs, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + f"\n\n{caption}"


def score_figure(scores: Scores) -> "Figure":
    """Return a figure of one bar panel per metric, with the intervals that scores have.

    Distances between sets, which fall with the number of pictures, have bars of `comparable` rows.
    """
    from matplotlib.figure import Figure

    frame = score_frame(scores)
    figure = Figure(figsize=(2.4 * len(frame.columns), 3), layout="constrained")
    colors = [f"C{index}" for index in range(len(frame))]
    panels = figure.subplots(1, len(frame.columns), squeeze=False)[0]
    for axes, key in zip(panels, frame.columns, strict=True):
        values = frame[key]
        if not any(key in row.get("low", {}) for row in scores.values()):
            values = values.where(values.index.isin(comparable(scores)))
        axes.bar(range(len(frame)), values, color=colors)
        for place, (name, value) in enumerate(values.items()):
            if key in scores[name].get("low", {}):
                low, high = scores[name]["low"][key], scores[name]["high"][key]
                spread = [[max(value - low, 0)], [max(high - value, 0)]]
                axes.errorbar(place, value, spread, color="black", capsize=3)
        axes.set_title(f"{key} {'↑' if METRICS[key].higher else '↓'}", fontsize=10)
        axes.set_xticks(range(len(frame)), frame.index, rotation=35, ha="right", fontsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure

"""Scores of several result folders: values with intervals, a table and a figure."""

import sys
import warnings
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd

from xmdpt.data.images import picture_size
from xmdpt.evaluation.evaluate import (
    Options,
    check_networks,
    evaluate,
    evaluate_pairs,
    training_statistics,
)
from xmdpt.evaluation.features import Statistics
from xmdpt.evaluation.preparation import follows_results
from xmdpt.evaluation.protocols import PIDM, Protocol, Size, get_protocol
from xmdpt.evaluation.results import Pair, kept
from xmdpt.evaluation.shards import RowStore
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.labels import FEW, FEW_ABOUT, LABELS, METRICS, best_values, comparable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scores = dict[str, dict[str, Any]]

DIGITS = 5  # significant ones: those that do not depend on the number of threads


class TrainingStatistics:
    """The training pictures' statistics under a protocol, made once per size of results."""

    def __init__(
        self,
        train_dir: str | Path | None,
        rules: Protocol,
        cache_dir: str | Path | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.train_dir, self.rules = train_dir, rules
        self.cache_dir, self.options = cache_dir, options
        self._known: dict[Size | None, Mapping[str, Statistics]] = {}

    def at(self, own: Size) -> Mapping[str, Statistics] | None:
        """Return the statistics for results of size `own`; None without training pictures."""
        if self.train_dir is None:
            return None
        # The size decides how pictures are resized, and which LMDB they come from.
        steps = [self.rules.pixels, *(one.steps for one in self.rules.frechet)]
        key = own if any(follows_results(one) for one in steps) else None
        if key not in self._known:
            self._known[key] = training_statistics(
                self.train_dir, self.rules, own, cache_dir=self.cache_dir, **self.options
            )
        return self._known[key]

    @property
    def counts(self) -> dict[str, int]:
        """How many training pictures each distance was taken against, so far."""
        found = next(iter(self._known.values()), {})
        return {name: len(statistics.features) for name, statistics in found.items()}


def _pidm_pixels(
    folder: Path,
    reference_dir: Path,
    only: Collection[Pair] | None,
    any_shape: bool,
    store: RowStore | None,
) -> pd.DataFrame:
    """Return SSIM and PSNR at PIDM's 256x256, as columns ssim_pidm and psnr_pidm."""
    rules = replace(PIDM, perceptual=())
    with warnings.catch_warnings(action="ignore"):  # results are resized on purpose
        pairs = evaluate_pairs(
            folder,
            reference_dir,
            rules,
            only=only,
            any_shape=any_shape,
            progress=False,
            store=store,
        )
    return pairs.reindex(columns=["ssim", "psnr"]).add_suffix("_pidm")  # a share may be empty


def _pair_rows(
    folder: Path,
    reference_dir: Path,
    rules: Protocol,
    only: Collection[Pair] | None,
    enlarged: bool,
    any_shape: bool,
    store: RowStore | None,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Return the table of `evaluate_pairs`, `enlarged` by PIDM's columns."""
    pairs = evaluate_pairs(
        folder, reference_dir, rules, only=only, any_shape=any_shape, store=store, **options
    )
    if enlarged:
        pairs = pairs.join(_pidm_pixels(folder, reference_dir, only, any_shape, store))
    return pairs


def score_folder(
    folder: Path,
    reference_dir: Path,
    train: TrainingStatistics,
    seed: int,
    only: Collection[Pair] | None = None,
    *,
    enlarged: bool = False,
    any_shape: bool = False,
    store: RowStore | None = None,
    **options: Unpack[Options],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score one result folder under the protocol of `train`: metric -> value, `low` and `high`.

    `low` and `high` lack metrics without an interval; `few`, where it is there, holds the distances
    of fewer pictures than features, and the number of these.

    `enlarged` adds PIDM's SSIM and PSNR at 256x256. Values are rounded, so that the same pictures
    give the same bytes. The second result is the table of `evaluate_pairs`.
    """
    rules = train.rules
    pairs = _pair_rows(folder, reference_dir, rules, only, enlarged, any_shape, store, **options)
    statistics = train.at(picture_size(folder / pairs["result"][0]))
    values = evaluate(folder, reference_dir, statistics, rules, pairs=pairs, **options)
    metrics = [column for column in pairs.columns if column not in LABELS]
    people = pairs["person"].tolist()
    ends = {key: bootstrap_interval(pairs[key].tolist(), seed, people) for key in metrics}
    row: dict[str, Any] = {key: rounded(value) for key, value in values.items()}
    for index, end in enumerate(("low", "high")):
        row[end] = {
            key: rounded(interval[index])
            for key, interval in ends.items()
            if np.isfinite(interval[index])
        }
    if few := _few(rules, statistics or {}, len(pairs)):
        row["few"] = few
    return row, pairs


def _few(rules: Protocol, train: Mapping[str, Statistics], pairs: int) -> dict[str, int]:
    """The distances of fewer pictures than features, and how many features these are."""
    widths = {name: side.features.shape[1] for name, side in train.items()}
    return {
        one.name: widths[one.name]
        for one in rules.frechet
        if one.name in widths and kept(pairs, one.batch_size, one.drop_last) < widths[one.name]
    }


def summarise(
    folders: Mapping[str, Path],
    reference_dir: str | Path,
    train_dir: str | Path,
    protocol: str,
    seed: int,
    *,
    cache_dir: str | Path | None = None,
    store: RowStore | None = None,
    progress: bool = True,
) -> tuple[Scores, pd.DataFrame]:
    """Score result folders, given by name, under one protocol: name -> metric -> value.

    Protocols other than `pidm` also get its SSIM and PSNR, as `ssim_pidm` and `psnr_pidm`. `low`
    and `high` hold 95 % bootstrap intervals over people for metrics of single pictures. A folder
    named `truth` only gets distances to the training pictures, whose statistics are cached in
    `cache_dir`. The second result has a row per pair, rounded too, with the folder's name as
    `row`. Rows that `score_shard` left in `store` are taken from there. Raises MissingWeights,
    before scoring anything, if a network has no weights, and BadInput where a shard is at work.
    """
    rules = get_protocol(protocol)
    check_networks(rules)
    train = TrainingStatistics(train_dir, rules, cache_dir, progress=progress)
    enlarged = rules.name != PIDM.name
    scores, tables = {}, []
    with store.at_work() if store is not None else nullcontext():
        for name, folder in folders.items():
            if progress:  # bars show on a terminal alone, which a stage's notebook has not
                print(f"scoring {name}", file=sys.stderr, flush=True)
            scores[name], pairs = score_folder(
                Path(folder),
                Path(reference_dir),
                train,
                seed,
                enlarged=enlarged,
                store=store,
                progress=progress,
            )
            tables.append(pairs.assign(row=name))
    if "truth" in scores:  # it equals its references, so the other metrics say nothing
        row = scores["truth"]
        single = {*tables[0].columns, "low", "high"}
        scores["truth"] = {key: row[key] for key in row.keys() - single}
    return scores, _round_table(pd.concat(tables, ignore_index=True))


def score_shard(
    folders: Iterable[Path], reference_dir: str | Path, protocol: str, store: RowStore
) -> None:
    """Score the pairs of a shard for `summarise`, which alone computes distances of collections.

    Raises MissingWeights, before scoring anything, if a network has no weights, and BadInput where
    the stage itself is at work.
    """
    rules = get_protocol(protocol)
    check_networks(rules)
    enlarged = rules.name != PIDM.name
    with store.at_work():
        for folder in folders:
            _pair_rows(folder, Path(reference_dir), rules, None, enlarged, False, store)


def paired_gains(
    pairs: pd.DataFrame, ours: str, others: Iterable[str], seed: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return by how much the row `ours` beats each of `others` on the pairs they share.

    Other -> metric of single pictures -> (low, high): the 95 % bootstrap interval over people of
    the mean difference, positive where `ours` is better. `pairs` is the table of `summarise`.
    """
    indexed = pairs.set_index(["source", "target"])
    mine = indexed[indexed["row"] == ours]
    gains = {}
    for other in others:
        theirs = indexed[indexed["row"] == other]
        both = mine.merge(theirs, left_index=True, right_index=True, suffixes=("", "_other"))
        ends: dict[str, tuple[float, float]] = {}
        for key in (key for key in METRICS if key in pairs and METRICS[key].higher is not None):
            gain = both[key] - both[f"{key}_other"]
            gain = gain if METRICS[key].higher else -gain
            low, high = bootstrap_interval(gain.tolist(), seed, both["person"].tolist())
            if np.isfinite(low):  # one person has none, nor have pictures that are all perfect
                ends[key] = rounded(low), rounded(high)
        gains[other] = ends
    return gains


def rounded(value: float) -> float:
    """Return a score as it is written, so that the same pictures give the same bytes."""
    return float(f"{value:.{DIGITS}g}")


def _round_table(pairs: pd.DataFrame) -> pd.DataFrame:
    numbers = pairs.select_dtypes("number").columns
    return pairs.assign(**{name: pairs[name].map(rounded) for name in numbers})


def score_frame(scores: Scores) -> pd.DataFrame:
    """Return the scores' plain values: a row per result folder, a column per metric."""
    known = [metric for metric in METRICS if any(metric in row for row in scores.values())]
    rows = {name: {metric: row.get(metric) for metric in known} for name, row in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=known, dtype=float)


def _heading(key: str) -> str:
    return f"{key}{METRICS[key].arrow}"


def _cell(row: Mapping[str, Any], key: str, best: float | None) -> str:
    value, digits = row.get(key), METRICS[key].decimals
    if value is None:
        return ""
    text = f"{value:.{digits}f}"
    text = f"**{text}**" if value == best else text
    text += f" {FEW}" * (key in row.get("few", {}))
    if key in row.get("low", {}):
        text += f" ({row['low'][key]:.{digits}f} to {row['high'][key]:.{digits}f})"
    return text


def score_table(scores: Scores, caption: str, compete: bool = True) -> str:
    """Return a Markdown table: arrows point to better, the best of each column is bold.

    Intervals are in brackets. `LIMITS` and rows of fewer pairs than others do not compete, and no
    row does if `compete` is False. If rows differ in their number of pairs, a column says so.
    """
    keys = list(score_frame(scores).columns)
    rivals, best = best_values(scores, keys) if compete else ([], {})
    rows = [["", *map(_heading, keys)]] + [
        [name, *(_cell(row, key, best.get(key) if name in rivals else None) for key in keys)]
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
    note = f"* {FEW_ABOUT}\n" if any("few" in row for row in scores.values()) else ""
    return "\n".join(lines) + f"\n\n{note}{caption}"


def score_figure(scores: Scores) -> "Figure":
    """Return a figure with one bar panel per metric, with intervals where scores have them.

    Distances between sets depend on the number of pictures: only `comparable` rows have bars.
    """
    from matplotlib.figure import Figure  # a second of imports

    frame = score_frame(scores)
    figure = Figure(figsize=(2.4 * len(frame.columns), 3), layout="constrained")
    colors = [f"C{index}" for index in range(len(frame))]
    panels = figure.subplots(1, len(frame.columns), squeeze=False)[0]
    for axes, key in zip(panels, frame.columns, strict=True):
        values = frame[key]
        if not any(key in row.get("low", {}) for row in scores.values()):
            values = values.where(values.index.isin(comparable(scores)))
        axes.bar(range(len(frame)), values, color=colors)
        for place, (value, row) in enumerate(zip(values, scores.values(), strict=True)):
            if key in row.get("low", {}):
                low, high = row["low"][key], row["high"][key]
                spread = [[max(value - low, 0)], [max(high - value, 0)]]
                axes.errorbar(place, value, spread, color="black", capsize=3)
        axes.set_title(_heading(key), fontsize=10)
        axes.set_xticks(range(len(frame)), frame.index, rotation=35, ha="right", fontsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure

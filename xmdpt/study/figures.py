"""The figures of the study's page: gains of all claims, trends, and rows of pictures."""

from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from xmdpt.metrics.labels import COPY, METRICS
from xmdpt.study.findings import Findings, papers_gain, relative, trend_rows
from xmdpt.study.scores import UNTRAINED
from xmdpt.study.verdicts import JUDGED_BY
from xmdpt.support.files import atomic_path

COLOURS = {
    "supported": "#2a7f3f", "not supported": "#b5342b", "no difference": "#3a5fa8",
    "cannot tell": "#777777",
}  # fmt: skip
DPI = 130
WIDEST = 40.0
"""Per cent at which the axis of gains ends; what lies beyond is marked with an arrow."""


def verdicts_figure(found: Findings) -> Figure | None:
    """Each claim's gain with its interval, the margin, and the paper's gain."""
    judged = [verdict for verdict in found.verdicts.values() if verdict.gain is not None]
    if not judged:
        return None
    figure = Figure(figsize=(9.5, 0.36 * len(judged) + 1.6), layout="constrained")
    axes = figure.subplots()
    margin = 100 * found.design.margin
    axes.axvspan(-margin, margin, color="#e6e6e6", zorder=0)
    axes.axvline(0, color="black", linewidth=0.8)
    names = []
    for place, verdict in enumerate(judged):
        metric = JUDGED_BY[verdict.claim.metric]
        scores, colour = found.scores[metric], COLOURS[verdict.status]
        assert verdict.gain is not None
        ends = [relative(end, scores, metric) for end in verdict.gain.interval()]
        gain = relative(verdict.gain.difference, scores, metric)
        axes.plot(  # to its ends and no further: whether it leaves the margin decides
            np.clip(ends, -WIDEST, WIDEST), [place, place], color=colour, linewidth=2,
            solid_capstyle="butt",
        )  # fmt: skip
        marker = "o" if abs(gain) <= WIDEST else ">" if gain > 0 else "<"
        axes.plot(np.clip(gain, -WIDEST, WIDEST), place, marker, color=colour)
        if (paper := papers_gain(verdict.claim)) is not None:
            marker = "D" if abs(paper) <= WIDEST else ">" if paper > 0 else "<"
            axes.plot(np.clip(paper, -WIDEST, WIDEST), place, marker, color="black", mfc="none")
        names.append(f"{verdict.claim.claim} ({METRICS[metric].label})")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(-WIDEST * 1.04, WIDEST * 1.04))
    axes.set_xlabel("gain of what the claim calls better, % of what X-MDPT-B lacks")
    for status, colour in COLOURS.items():
        axes.plot([], [], "o-", color=colour, label=status)
    axes.plot([], [], "D", color="black", mfc="none", linestyle="none", label="the paper's")
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    return figure


def _trend_panel(axes: Axes, rows: pd.DataFrame, paper: dict[str, float]) -> None:
    places = {title: place for place, title in enumerate(dict.fromkeys(rows["trend"]))}
    for shift, (other, own) in zip((-0.12, 0.12), rows.groupby("over", sort=False), strict=False):
        x = [places[title] + shift for title in own["trend"]]
        errors = [own["gain"] - own["low"], own["high"] - own["gain"]]
        [*_, bars] = axes.errorbar(
            x, own["gain"], yerr=errors, fmt="o", capsize=3, label=f"over {other}"
        )
        colour = bars[0].get_color()[0]
        axes.axhline(paper[str(other)], color=colour, linestyle=":", linewidth=1)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(places)), [fill(title, 15) for title in places])
    axes.tick_params(axis="x", labelsize=8)


def trends_figure(found: Findings) -> Figure | None:
    """What X-MDPT's masking gains in each trend; dotted lines: the paper's gain.

    None before there are two to compare: one alone is in the figure of verdicts.
    """
    rows = pd.DataFrame(trend_rows(found))
    if rows.empty or rows["trend"].nunique() < 2:
        return None
    claims = found.design.claims
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for axes, (metric, ending) in zip(
        figure.subplots(1, 2), {"fd_effnet": "", "st_lpips": "_lpips"}.items(), strict=True
    ):
        paper = {
            other: papers_gain(claims[f"{name}{ending}"]) or 0.0
            for other, name in {"no_mask": "mipnet_plain", "mdt": "mipnet_mdt"}.items()
        }
        _trend_panel(axes, rows[rows["metric"] == metric], paper)
        axes.set_ylabel(f"gain of X-MDPT in {METRICS[metric].label}, %")
    axes.legend(fontsize=8, title="dotted: the paper's gain", title_fontsize=8)
    return figure


def rows_picture(found: Findings, runs: Path) -> Figure | None:
    """The same pairs as every row drew them with the first seed, one below the other."""
    rows = (COPY, *(row for row in found.design.rows if row in found.records), "truth")
    seeds = {row: 0 if row in UNTRAINED else found.design.seeds[0] for row in rows}
    sheets = {row: runs / f"{row}-{seed}.jpg" for row, seed in seeds.items()}
    pictures = {row: np.asarray(Image.open(p)) for row, p in sheets.items() if p.is_file()}
    if not pictures:
        return None
    height, width = next(iter(pictures.values())).shape[:2]
    figure = Figure(figsize=(11, 11 * len(pictures) * height / width * 1.25), layout="constrained")
    for axes, (row, picture) in zip(
        figure.subplots(len(pictures), squeeze=False)[:, 0], pictures.items(), strict=True
    ):
        axes.imshow(picture, aspect=16 / 11)  # people are squashed to squares
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_ylabel(
            "source" if row == COPY else row, rotation=0, ha="right", va="center", fontsize=7
        )
    return figure


def draw_figures(found: Findings, folder: Path) -> list[str]:
    """Write the figures that can be drawn to `folder`; return their names."""
    figures = {
        "verdicts.png": verdicts_figure(found),
        "trends.png": trends_figure(found),
        "rows.jpg": rows_picture(found, folder / "runs"),
    }
    made = {name: figure for name, figure in figures.items() if figure is not None}
    for name in {*figures} - {*made}:
        (folder / name).unlink(missing_ok=True)  # of an earlier time
    for name, figure in made.items():
        with atomic_path(folder / name) as partial:
            figure.savefig(partial, dpi=DPI)
    return [*made]

"""The measured savings of `savings.py` as a table, a figure and words; without torch."""

from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure


def savings_table(measured: dict[str, Any]) -> pd.DataFrame:
    """The ways as a table: seconds of a step, and how many times as fast as the first way."""
    rows = []
    slowest = median(measured["ways"][0]["seconds"])
    for way in measured["ways"]:
        middle = median(way["seconds"])
        share = way["flops"] / middle / measured["peak"][way["precision"]]
        rows.append(
            {
                "": way["name"],
                "seconds a step": f"{middle:.3g}",
                "least to most": f"{min(way['seconds']):.3g} to {max(way['seconds']):.3g}",
                "times as fast": f"{slowest / middle:.2f}",
                "TFLOP": f"{way['flops'] / 1e12:.3g}",
                "MiB of tensors": f"{way['memory_mb']:.0f}",
                "of the machine's matrix peak": f"{100 * share:.0f} %",
                "largest difference": f"{way['difference']:.0e}" if way["difference"] else "0",
            }
        )
    return pd.DataFrame(rows).set_index("")


def said_of(measured: dict[str, Any], grows: bool = False) -> str:
    """On what the times were measured, and how; `grows` where a column has the pictures."""
    machine, settings = measured["machine"], measured["settings"]
    peaks = ", ".join(f"{rate / 1e9:,.0f} in {name}" for name, rate in measured["peak"].items())
    side = settings["matrix_side"]
    what = "A guided step" if settings["kind"] == "sample" else "A training step"
    batch, rounds = settings["batch_size"], settings["repeats"]
    pictures = "" if grows else ", 1 picture" if batch == 1 else f", {batch} pictures"
    times = "once" if rounds == 1 else f"the median of {rounds} rounds through all ways"
    difference = (
        ""
        if grows
        else " The largest difference is a share of the largest number of the first way's output."
    )
    return (
        f"{what} of X-MDPT-{settings['size'].upper()}{pictures}, {times}, on {machine['name']} "
        f"({machine['threads']} threads, PyTorch {machine['torch']}). A product of two matrices of "
        f"{side:,} x {side:,} took place at {peaks} GFLOP/s.{difference}"
    )


def savings_figure(measured: dict[str, Any]) -> Figure:
    """A bar for each way: how many times as fast as the first, with the range over rounds.

    Behind it stands what the machine would reach if each way ran at its matrix peak.
    """
    ways = measured["ways"]
    slowest = median(ways[0]["seconds"])
    figure, ax = plt.subplots(figsize=(8, 1.1 + 0.42 * len(ways)), layout="constrained")
    for row, way in enumerate(ways):
        middle = slowest / median(way["seconds"])
        least, most = slowest / max(way["seconds"]), slowest / min(way["seconds"])
        peak = slowest * measured["peak"][way["precision"]] / way["flops"]
        ax.barh(row, peak, color="0.85", label="at the matrix peak" if row == 0 else None)
        ax.barh(row, middle, height=0.5, color="C0", label="measured" if row == 0 else None)
        ax.errorbar(middle, row, xerr=[[middle - least], [most - middle]], color="0.3", capsize=3)
        ax.annotate(f"{middle:.2f}", (most, row), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(ways)), [way["name"] for way in ways])
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlim(left=0)
    ax.set_xlabel("times as fast as the first row (median; whiskers: all rounds)")
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    ax.spines[["top", "right"]].set_visible(False)
    return figure

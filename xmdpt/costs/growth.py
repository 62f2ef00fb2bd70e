"""How a guided step grows with the number of tokens and of pictures, with and without savings."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from xmdpt.costs.savings import Size, measure_savings

SIDES = (16, 32, 64)
"""Of latents: 128, 256 and 512 pixels, 64 to 1,024 tokens."""
BATCHES = (1, 2, 4, 8)
SHOWN = {
    "as the authors compute": "o-",
    "both halves of the guidance in one batch": "s-",
    "bfloat16": "^-",
}
"""The first way, the last exact one and the fastest that is not compiled."""


def measure_growth(
    size: Size,
    batch_size: int,
    repeats: int,
    device: torch.device,
    progress: Callable[[str], None] = print,
) -> dict[str, list[dict[str, Any]]]:
    """`measure_savings` of a guided step, nothing compiled, along both axes.

    `tokens`: `batch_size` pictures, latents of each side in SIDES. `pictures`: 256 tokens, as many
    pictures as each of BATCHES says.
    """

    def measure(pictures: int, side: int) -> dict[str, Any]:
        named = f"{8 * side}x{8 * side}, {pictures} pictures"
        return measure_savings(
            size,
            pictures,
            repeats,
            device,
            compiler=False,
            sample_size=side,
            progress=lambda line: progress(f"{named}: {line}"),
        )

    return {
        "tokens": [measure(batch_size, side) for side in SIDES],
        "pictures": [measure(pictures, 32) for pictures in BATCHES],
    }


def growth_table(growth: dict[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """Seconds of a guided step: a row for each number of tokens and pictures, a column a way."""
    rows = []
    for measured in (*growth["tokens"], *growth["pictures"]):
        settings = measured["settings"]
        row = {"tokens": f"{settings['tokens']:,}", "pictures": settings["batch_size"]}
        times = {way["name"]: median(way["seconds"]) for way in measured["ways"]}
        rows.append(row | {name: f"{times[name]:.3g}" for name in SHOWN if name in times})
    return pd.DataFrame(rows).drop_duplicates(["tokens", "pictures"]).set_index("tokens")


def _curves(ax: Axes, x: Sequence[int], measured: Sequence[dict[str, Any]]) -> None:
    for name, style in SHOWN.items():
        ways = [way for each in measured for way in each["ways"] if way["name"] == name]
        if ways:
            seconds = [median(way["seconds"]) for way in ways]
            ax.plot(x, seconds, style, label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(x, [f"{value:,}" for value in x])
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    ax.grid(alpha=0.3, which="both")
    ax.spines[["top", "right"]].set_visible(False)


def growth_figure(growth: dict[str, list[dict[str, Any]]]) -> Figure:
    """Seconds of a guided step against tokens, and against pictures, both axes logarithmic."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    tokens, pictures = growth["tokens"], growth["pictures"]
    settings = tokens[0]["settings"]
    _curves(left, [each["settings"]["tokens"] for each in tokens], tokens)
    _curves(right, [each["settings"]["batch_size"] for each in pictures], pictures)
    left.set(xlabel=f"tokens ({settings['batch_size']} pictures)", ylabel="seconds a guided step")
    right.set_xlabel(f"pictures ({pictures[0]['settings']['tokens']} tokens)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=len(SHOWN))
    return figure

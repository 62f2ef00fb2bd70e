"""Tables 2(f), 3 and 5 and Figure 1, from the measurements of `xmdpt.costs.efficiency`.

The paper's seconds were measured on an A100. Ours are compared as ratios between networks that were
timed in turns on one machine; our seconds are shown only if that machine is a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from xmdpt.paper.published import TRAINING_DAYS, Cost, costs, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Costs = dict[str, Any]
"""What `measure_costs` returns."""

NETWORK_OF = {
    "PIDM": "pixel_unet",
    "PoCoLD": "latent_unet",
    "X-MDPT-L": "x_mdpt_l",
    "X-MDPT-B": "x_mdpt_b",
    "X-MDPT-S": "x_mdpt_s",
}
"""Method in the paper -> the network that is measured for it."""
ONCE = ("vae", "dinov2_giant", "dinov2_base")
DAY = 86_400
PAPER_BATCH = 32
MIB = 2**20


@dataclass(frozen=True)
class Ratio:
    """Median over rounds, with the smallest and the largest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        middle = f"{self.median:.3g}"
        return middle if self.low == self.high else f"{middle} ({self.low:.3g} to {self.high:.3g})"


def _ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    values = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(median(values), min(values), max(values))


def inference_seconds(measured: Costs, name: str, whole: bool = False) -> list[float] | None:
    """Seconds for `settings.pictures` pictures in `settings.steps` steps, in each round.

    With `whole`, the networks that run once per picture are included. None if a part was not
    measured.
    """
    networks, settings = measured["networks"], measured["settings"]
    if name not in networks:
        return None
    network = networks[name]
    batches = settings["pictures"] / settings["batch_size"]
    seconds = [batches * settings["steps"] * step for step in network["seconds"]]
    for once in network["once"] if whole else ():
        if once not in networks:
            return None
        extra = networks[once]["seconds"]
        seconds = [a + batches * b for a, b in zip(seconds, extra, strict=True)]
    return seconds


def time_ratio(measured: Costs, above: str, below: str, whole: bool = False) -> Ratio | None:
    """How many times as long `above` takes as `below`; None if one was not measured."""
    slow, fast = (inference_seconds(measured, name, whole) for name in (above, below))
    return None if slow is None or fast is None else _ratio(slow, fast)


def inference_flops(measured: Costs, name: str) -> float | None:
    """Operations for `settings.pictures` pictures, without networks that run once per picture."""
    network = measured["networks"].get(name)
    if network is None:
        return None
    operations: float = network["flops"] * network["forwards"] * measured["settings"]["pictures"]
    return operations


def inference_memory(measured: Costs, name: str) -> float | None:
    """MiB of a whole inference; None if a part was not measured.

    That is every network's float32 weights, and the most that one of them needs in addition.
    """
    networks = measured["networks"]
    names = [name, *networks[name]["once"]] if name in networks else [name]
    if not networks.keys() >= set(names):
        return None
    weights: dict[str, float] = {one: 4 * networks[one]["parameters"] / MIB for one in names}
    working: float = max(networks[one]["memory_mb"] - weights[one] for one in names)
    return sum(weights.values()) + working


def pictures_at_once(measured: Costs) -> str:
    """How many pictures the memory is for, in words."""
    count = measured["settings"]["memory_pictures"]
    return "1 picture" if count == 1 else f"{count} pictures at once"


def on_gpu(measured: Costs) -> bool:
    """Whether the times and the memory are a GPU's."""
    return bool(measured["machine"]["device"] == "cuda")


def _text(value: object, form: str = "") -> str | None:
    return None if value is None else format(value, form) if form else str(value)


def _seconds(measured: Costs, name: str) -> dict[str, str | None]:
    """The column of our seconds; on a CPU there is none."""
    if not on_gpu(measured):
        return {}
    taken = inference_seconds(measured, name)
    return {"s, here": _text(taken and median(taken), ".3f")}


def _label(cost: Cost) -> str:
    stands = {"PIDM": "pixel U-Net", "PoCoLD": "latent U-Net"}.get(cost.method)
    return f"{cost.method} (here: {stands} of that size)" if stands else cost.method


def _millions(measured: Costs, name: str) -> str | None:
    network = measured["networks"].get(name)
    return network and f"{network['parameters'] / 1e6:.2f}"


def speed_table(measured: Costs) -> pd.DataFrame:
    """Table 2(f): the printed speed-up over PIDM, and ours over its stand-in."""
    rows = []
    for cost in (cost for cost in costs() if cost.table == "2f"):
        name = NETWORK_OF[cost.method]
        theirs, own = (inference_flops(measured, key) for key in ("pixel_unet", name))
        rows.append(
            {
                "method": _label(cost),
                "FID, paper": cost.fid,
                "M parameters, paper": cost.parameters,
                "M parameters, here": _millions(measured, name),
                "s, paper (A100)": cost.seconds,
                **_seconds(measured, name),
                "speed-up, paper": cost.speed_up,
                "speed-up, here": _text(time_ratio(measured, "pixel_unet", name)),
                "speed-up, all of an inference": _text(
                    time_ratio(measured, "pixel_unet", name, whole=True)
                ),
                "operations saved": _text(theirs and own and theirs / own, ".3g"),
            }
        )
    return pd.DataFrame(rows)


def efficiency_table(measured: Costs) -> pd.DataFrame:
    """Table 3: the paper's numbers beside ours; times relative to X-MDPT-S."""
    printed = [cost for cost in costs() if cost.table == "3"]
    smallest = next(cost for cost in printed if cost.method == "X-MDPT-S")
    rows = []
    for cost in printed:
        name = NETWORK_OF[cost.method]
        network = measured["networks"].get(name)
        flops = inference_flops(measured, name)
        rows.append(
            {
                "method": _label(cost),
                "time / S, paper": f"{cost.seconds / smallest.seconds:.3g}",
                "time / S, here": _text(time_ratio(measured, name, "x_mdpt_s")),
                "s, paper (A100)": f"{cost.seconds} ± {cost.deviation}",
                **_seconds(measured, name),
                "TFLOP, here": _text(flops and flops / 1e12, ".1f"),
                "MB, paper": cost.memory,
                "MB of the denoiser, here": network and f"{network['memory_mb']:.0f}",
                "MB of all of an inference, here": _text(inference_memory(measured, name), ".0f"),
                "M parameters, paper": cost.parameters,
                "M parameters, here": _millions(measured, name),
                "guidance": cost.guidance,
                "forwards, paper": cost.forwards,
                "forwards, here": _text(network and network["forwards"]),
            }
        )
    return pd.DataFrame(rows).astype(object)


def once_table(measured: Costs) -> pd.DataFrame:
    """Networks that run once per picture, as a share of the time of all denoising steps."""
    sizes = ("X-MDPT-S", "X-MDPT-B", "X-MDPT-L")
    shares = [f"% of {size}'s steps" for size in sizes]
    rows = []
    for name in (name for name in ONCE if name in measured["networks"]):
        network = measured["networks"][name]
        batches = measured["settings"]["pictures"] / measured["settings"]["batch_size"]
        row = {
            "network": network["title"],
            "M parameters": _millions(measured, name),
            "GFLOP a picture": f"{network['flops'] / 1e9:.0f}",
        }
        for size, column in zip(sizes, shares, strict=True):
            denoising = inference_seconds(measured, NETWORK_OF[size])
            share = denoising and _ratio([batches * s for s in network["seconds"]], denoising)
            row[column] = share and f"{100 * share.median:.1f}"
        rows.append(row)
    return pd.DataFrame(rows, columns=["network", "M parameters", "GFLOP a picture", *shares])


def training_days(measured: Costs, name: str, steps: int) -> float:
    """Days for `steps` steps at the paper's batch of 32, from the median step."""
    step: float = median(measured["training"][name]["seconds"])
    batch: int = measured["settings"]["train_batch_size"]
    return step * PAPER_BATCH / batch * steps / DAY


def training_table(measured: Costs) -> pd.DataFrame:
    """Table 5 and Appendix A.6: time of a step relative to S and, on a GPU, steps/s and days."""
    training = measured["training"]
    rows = []
    for size in ("S", "B", "L"):
        method, name = f"X-MDPT-{size}", f"x_mdpt_{size.lower()}"
        days = {steps: TRAINING_DAYS.get((method, steps)) for steps in (300_000, 800_000)}
        row: dict[str, Any] = {"method": method} | {
            f"days of {k // 1000}k, paper": v for k, v in days.items()
        }
        row["steps/s, paper"] = days[300_000] and f"{300_000 / DAY / float(days[300_000]):.2f}"
        if name in training:
            record = training[name]
            row["M parameters trained"] = f"{record['parameters'] / 1e6:.2f}"
            row["GFLOP a picture"] = f"{record['flops'] / 1e9:.0f}"
        if {name, "x_mdpt_s"} <= training.keys():
            ratio = _ratio(training[name]["seconds"], training["x_mdpt_s"]["seconds"])
            row["time of a step / S"] = str(ratio)
        whole = measured["settings"]["train_batch_size"] >= PAPER_BATCH
        if name in training and on_gpu(measured) and whole:
            row["steps/s, here"] = f"{1e6 / DAY / training_days(measured, name, 1_000_000):.3g}"
            for steps in days:
                row[f"days of {steps // 1000}k, here"] = (
                    f"{training_days(measured, name, steps):.1f}"
                )
        rows.append(row)
    pidm = next(cost for cost in costs() if cost.table == "5" and cost.method == "PIDM")
    rows.append({"method": "PIDM, to convergence", "days of 800k, paper": pidm.training_days})
    return pd.DataFrame(rows).astype(object)


def provenance(measured: Costs) -> str:
    """The machine and settings behind the numbers, in words."""
    machine, settings = measured["machine"], measured["settings"]
    where = f"{machine['name']} ({machine['device']}"
    where += ")" if on_gpu(measured) else f", {machine['threads']} threads)"
    memory = (
        "peak of PyTorch's allocator"
        if on_gpu(measured)
        else "counted, not measured: float32 weights and the tensors alive at once"
    )
    rounds, batch = settings["repeats"], settings["batch_size"]
    timed = "once" if rounds == 1 else f"in {rounds} rounds: median (smallest to largest)"
    drawn = "1 picture" if batch == 1 else f"{batch} pictures"
    return (
        f"Networks of full size (256x256 pixels) with random weights on {where}, PyTorch "
        f"{machine['torch']}, {machine['precision']} (the VAE in fp32). "
        f"Timed in turns, {timed}. One guided step of {drawn} was timed and scaled to "
        f"{settings['steps']} "
        f"steps and {settings['pictures']} pictures. "
        f"Memory: {memory}, for {pictures_at_once(measured)}. "
        "The paper's seconds are an A100's; ours are shown on a GPU only."
    )


# Figure 1


def _bubbles(panel: "Axes", points: list[tuple[str, float, float, float]]) -> None:
    """Draw points (label, x, y, millions of parameters), with an area in proportion to the last.

    X-MDPT is labelled below and the others above, so that near neighbours stay readable.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    colors = {"X-MDPT": "#d1495b", "PIDM": "#3b6ea5", "PoCoLD": "#6a994e"}
    for label, x, y, parameters in points:
        method = next(name for name in colors if label.startswith(name))
        area, side = 2.2 * parameters, -1 if method == "X-MDPT" else 1
        panel.scatter(x, y, s=area, color=colors[method], alpha=0.55, linewidth=0)
        panel.annotate(
            f"{label}\n{parameters:.0f} M",
            *((x, y), (0, side * (sqrt(area / pi) + 3))),
            textcoords="offset points",
            ha="center",
            va="bottom" if side > 0 else "top",
            fontsize=8,
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.margins(0.3)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def efficiency_figure(measured: Costs) -> "Figure":
    """Figure 1: FID over time as printed, and the denoisers' memory over time here."""
    from matplotlib.figure import Figure  # tables, without it, import in a third of the time

    fids = {cost.method: cost.fid for cost in costs() if cost.table == "2f" and cost.fid}
    fids["PoCoLD"] = next(s.fid for s in scores() if s.method == "PoCoLD" and s.size == 256)
    printed = [cost for cost in costs() if cost.table == "3"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    points = [
        (cost.method, float(cost.seconds), float(fids[cost.method]), float(cost.parameters))
        for cost in printed
    ]
    _bubbles(left, points)
    left.set(
        title="the paper, DeepFashion, an A100",
        xlabel="seconds for 8 pictures",
        ylabel="FID (lower is better)",
    )
    points = []
    for cost in printed:
        name = NETWORK_OF[cost.method]
        ratio = time_ratio(measured, name, "x_mdpt_s")
        if ratio is not None:
            network = measured["networks"][name]
            label = cost.method if name.startswith("x") else f"{cost.method}'s stand-in"
            points.append((label, ratio.median, network["memory_mb"], network["parameters"] / 1e6))
    _bubbles(right, points)
    machine = measured["machine"]["name"] if on_gpu(measured) else "CPU"
    right.set(
        title=f"here, random weights, {machine}",
        xlabel="time, X-MDPT-S = 1",
        yscale="log",
        ylabel=f"denoiser's memory in MB, {pictures_at_once(measured)}",
    )
    right.yaxis.set_major_formatter("{x:g}")
    return figure

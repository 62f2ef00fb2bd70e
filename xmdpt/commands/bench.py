"""The commands that time networks and steps on this machine."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import SPEED, Device, Weights
from xmdpt.support.arguments import BadInput, check_file, pick_device

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from matplotlib.figure import Figure

app = typer.Typer(help="Time networks and steps on this machine.", no_args_is_help=True)
Out = Annotated[Path | None, typer.Option(help="Write every number to this JSON file.")]
Picture = Annotated[
    Path | None, typer.Option(help="Draw the result: a PNG, SVG or PDF.", dir_okay=False)
]
Size = Annotated[
    Literal["s", "b", "l"],
    typer.Option(help="X-MDPT-S, -B or -L, random weights.", rich_help_panel=SPEED),
]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pictures at once; default: 8 on a GPU, else 1.", rich_help_panel=SPEED
    ),
]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds through all variants.")]


def show(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr)


def _prepared(
    device: str | None, batch_size: int | None, out: Path | None, figure: Path | None = None
) -> "tuple[torch.device, int]":
    """Where to measure and with how many pictures; raises BadInput where a file cannot be made."""
    import torch

    if figure is not None and figure.suffix not in (".png", ".svg", ".pdf"):
        raise BadInput(f"--figure: {figure}: must end in .png, .svg or .pdf")
    for file in filter(None, (out, figure)):
        check_file(file)
    place = torch.device(pick_device(device))
    return place, batch_size or (8 if place.type == "cuda" else 1)


@app.command()
def networks(
    models: Annotated[
        str, typer.Option(help="Comma-separated; `all` adds the VAE and DINOv2.")
    ] = "x_mdpt_s,x_mdpt_b,x_mdpt_l,pixel_unet,latent_unet",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds through all networks.")] = 2,
    batch_size: Batch = None,
    device: Device = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure time and memory of the full-size networks here, beside the paper's (Table 3).

    U-Nets stand in for the cost of PIDM and PoCoLD; all weights are random.

    Examples:
    xmdpt bench networks
    xmdpt bench networks --models all --repeats 5 --device cuda --out bench.json
    """
    from xmdpt.costs.efficiency import measure_costs
    from xmdpt.costs.full_size import NETWORKS
    from xmdpt.costs.tables import efficiency_table, provenance
    from xmdpt.settings_file import did_you_mean

    asked = list(NETWORKS) if models == "all" else models.split(",")
    if unknown := [name for name in asked if name not in NETWORKS]:
        known = f"{', '.join(NETWORKS)}{did_you_mean(unknown[0], NETWORKS)}"
        raise BadInput(f"--models: no network '{unknown[0]}'; there are: {known}")
    names = [name for name in NETWORKS if name in asked]
    place, size = _prepared(device, batch_size, out)
    with answers(as_json) as answer:
        measured = measure_costs(names, repeats, size, size, None, place, progress=show)
        table = efficiency_table(measured).set_index("method").T.fillna("")
        said = f"{table.to_markdown(disable_numparse=True)}\n\n{provenance(measured)}"
        answer(said, measured)
    _keep(measured, out)


@app.command()
def sample(
    size: Size = "s",
    batch_size: Batch = None,
    repeats: Rounds = 3,
    device: Device = None,
    out: Out = None,
    figure: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Time a guided step as the authors' code computes it, then with one saving after another.

    All variants give the same picture up to rounding, from the same random
    weights. They are timed in rounds; with a C++ compiler, compiled variants are
    timed too.

    Examples:
    xmdpt bench sample
    xmdpt bench sample --size l --batch-size 8 --device cuda
    """
    _savings("sample", size, batch_size, repeats, device, out, figure, as_json)


@app.command()
def train(
    size: Size = "s",
    batch_size: Batch = None,
    repeats: Rounds = 3,
    device: Device = None,
    out: Out = None,
    figure: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Time a training step, forward and backward, in the same way.

    The first variant encodes its pictures at each step: with DINOv2-G this needs
    5 GB.

    Examples:
    xmdpt bench train
    xmdpt bench train --size b --batch-size 32 --device cuda
    """
    _savings("train", size, batch_size, repeats, device, out, figure, as_json)


@app.command()
def growth(
    size: Size = "s",
    batch_size: Batch = None,
    repeats: Rounds = 3,
    device: Device = None,
    out: Out = None,
    figure: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Time a guided step at 64 to 1,024 tokens, and with 1 to 8 pictures at once.

    Example:
    xmdpt bench growth --batch-size 4 --figure growth.png
    """
    from xmdpt.costs.growth import growth_figure, growth_table, measure_growth
    from xmdpt.costs.savings_table import said_of

    place, pictures = _prepared(device, batch_size, out, figure)
    with answers(as_json) as answer:
        measured = measure_growth(size, pictures, repeats, place, show)
        table = growth_table(measured).to_markdown(disable_numparse=True)
        answer(f"{table}\n\n{said_of(measured['tokens'][0], grows=True)}", measured)
    _keep(measured, out, growth_figure, figure)


@app.command()
def pictures(
    weights: Weights = None,
    num: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 4,
    repeats: Rounds = 3,
    device: Device = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time whole pictures with these weights: as the authors' code draws them, and by each preset.

    Encoders, all steps and decoding are included.

    Example:
    xmdpt bench pictures --num 8 --repeats 5
    """
    from xmdpt.costs.whole import measure_pictures, pictures_table, said_of_pictures
    from xmdpt.data.deepfashion import DataError
    from xmdpt.support.arguments import one_line
    from xmdpt.weights.load import load_pipeline

    place, _ = _prepared(device, num, out)
    with answers(as_json) as answer, one_line(DataError, ValueError):
        pipe = load_pipeline(weights, place)
        pipe.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
        measured = measure_pictures(pipe, num, repeats, show)
        table = pictures_table(measured).to_markdown(disable_numparse=True)
        answer(f"{table}\n\n{said_of_pictures(measured)}", measured)
    _keep(measured, out)


def _savings(
    kind: Literal["sample", "train"],
    size: Literal["s", "b", "l"],
    batch_size: int | None,
    repeats: int,
    device: str | None,
    out: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    from xmdpt.costs.savings import measure_savings
    from xmdpt.costs.savings_table import said_of, savings_figure, savings_table
    from xmdpt.support.compiler import find_compiler
    from xmdpt.training.train import TrainingModule

    place, pictures = _prepared(device, batch_size, out, figure)
    compiler = find_compiler() is not None
    wrap = partial(TrainingModule, condition_dropout=0.1)
    with answers(as_json) as answer:
        measured = measure_savings(
            size,
            pictures,
            repeats,
            place,
            compiler,
            wrap if kind == "train" else None,
            progress=show,
        )
        table = savings_table(measured).to_markdown(disable_numparse=True)
        answer(f"{table}\n\n{said_of(measured)}", measured)
    _keep(measured, out, savings_figure, figure)


def _keep(
    measured: Any,
    out: Path | None,
    draw: "Callable[[Any], Figure] | None" = None,
    picture: Path | None = None,
) -> None:
    from xmdpt.support.files import atomic_path, write_json

    if out is not None:
        write_json(out, measured)
    if picture is not None and draw is not None:
        with atomic_path(picture) as partial_file:
            draw(measured).savefig(partial_file, dpi=150)

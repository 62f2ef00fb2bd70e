"""The commands that time networks and steps on this machine."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import Device
from xmdpt.support.arguments import BadInput, check_file, pick_device

if TYPE_CHECKING:
    import torch

app = typer.Typer(help="Time networks and steps on this machine.", no_args_is_help=True)
Out = Annotated[Path | None, typer.Option(help="Write every number to this JSON file.")]
Size = Annotated[Literal["s", "b", "l"], typer.Option(help="X-MDPT-S, -B or -L, random weights.")]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Pictures at once; default: 8 on a GPU, else 1.")
]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds through all variants.")]


def show(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr)


def _prepared(
    device: str | None, batch_size: int | None, out: Path | None
) -> "tuple[torch.device, int]":
    """Where to measure and with how many pictures; raises BadInput where `out` cannot be made."""
    import torch

    if out is not None:
        check_file(out)
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

    Examples: xmdpt bench networks,
    xmdpt bench networks --models all --repeats 5 --device cuda --out bench.json.
    """
    from xmdpt.costs.efficiency import measure_costs
    from xmdpt.costs.full_size import NETWORKS
    from xmdpt.costs.tables import efficiency_table, provenance
    from xmdpt.settings_file import did_you_mean
    from xmdpt.support.files import write_json

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
    if out is not None:
        write_json(out, measured)


@app.command()
def sample(
    size: Size = "s",
    batch_size: Batch = None,
    repeats: Rounds = 3,
    device: Device = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time a guided step as the authors' code computes it, then with one saving after another.

    All variants give the same picture up to rounding, from the same random weights. They are timed
    in rounds; with a C++ compiler, compiled variants are timed too.

    Examples: xmdpt bench sample, xmdpt bench sample --size l --batch-size 8 --device cuda.
    """
    _savings("sample", size, batch_size, repeats, device, out, as_json)


@app.command()
def train(
    size: Size = "s",
    batch_size: Batch = None,
    repeats: Rounds = 3,
    device: Device = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time a training step, forward and backward, in the same way, from cached features.

    Examples: xmdpt bench train, xmdpt bench train --size b --batch-size 32 --device cuda.
    """
    _savings("train", size, batch_size, repeats, device, out, as_json)


def _savings(
    kind: Literal["sample", "train"],
    size: Literal["s", "b", "l"],
    batch_size: int | None,
    repeats: int,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from xmdpt.costs.savings import measure_savings, said_of, savings_table
    from xmdpt.support.compiler import find_compiler
    from xmdpt.support.files import write_json
    from xmdpt.training.train import TrainingModule

    place, pictures = _prepared(device, batch_size, out)
    compiler = find_compiler() is not None
    wrap = partial(TrainingModule, condition_dropout=0.1)
    with answers(as_json) as answer:
        measured: dict[str, Any] = measure_savings(
            kind, size, pictures, repeats, place, compiler, wrap, show
        )
        table = savings_table(measured).to_markdown(disable_numparse=True)
        answer(f"{table}\n\n{said_of(measured)}", measured)
    if out is not None:
        write_json(out, measured)

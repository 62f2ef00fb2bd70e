"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Weights = Annotated[
    Path | None,
    typer.Option(help="Pipeline folder; default: the small weights that ship."),
]
Detector = Annotated[str | None, typer.Option(help="An RT-DETR: hub name or folder.")]
PoseEstimator = Annotated[str | None, typer.Option(help="A ViTPose: hub name or folder.")]
PersonScore = Annotated[
    float, typer.Option(min=0, max=1, help="Lowest detection score of a person.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: a GPU if there is one.")]

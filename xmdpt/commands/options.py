"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from xmdpt.config import ConfigError, load_config


def run_names() -> list[str]:
    """The runs of params.yaml, for the shell to complete; none where it cannot be read."""
    try:
        return [*load_config().experiments]
    except ConfigError:
        return []


def profile_names() -> list[str]:
    """The profiles, for the shell to complete; none outside a clone."""
    from xmdpt.stages.profiles import find_profiles

    try:
        return [*find_profiles()]
    except ConfigError:
        return []


DETECTORS, OUTPUT, SPEED = "Detectors", "Output", "Weights and speed"
"""Panels of `--help`."""
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Pipeline folder; default: the small bundled weights.", rich_help_panel=SPEED
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(help="An RT-DETR: hub name or folder.", rich_help_panel=DETECTORS),
]
PoseEstimator = Annotated[
    str | None, typer.Option(help="A ViTPose: hub name or folder.", rich_help_panel=DETECTORS)
]
PersonScore = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Lowest detection score of a person.", rich_help_panel=DETECTORS
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, ...; default: a GPU if there is one.", rich_help_panel=SPEED),
]

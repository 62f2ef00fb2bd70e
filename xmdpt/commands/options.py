"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Weights = Annotated[
    Path | None, typer.Option(help="Pipeline folder; default: the small weights that ship.")
]
Device = Annotated[str | None, typer.Option(help="Default: a GPU where there is one.")]

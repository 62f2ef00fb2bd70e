"""The command line: `xmdpt COMMAND --help`."""

import sys
from collections.abc import Callable
from io import TextIOWrapper

import typer

from xmdpt.commands import (
    bench,
    check,
    distill,
    draw,
    generate,
    measure,
    report,
    runs,
    stage,
    study,
)
from xmdpt.support.ends import in_one_line

app = typer.Typer(
    help="X-MDPT: put a person into another pose.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Draw": (generate.generate, check.check, draw.demo, draw.export, draw.convert),
    "Data and scores": (measure.survey, measure.evaluate),
    "Reproduce": (runs.info, runs.profile, runs.run, runs.train, runs.exhibits, stage.stage),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(report.app, name="report", rich_help_panel="Reproduce")
for name, group in {"study": study.app, "bench": bench.app, "distill": distill.app}.items():
    app.add_typer(group, name=name, rich_help_panel="Study and speed")


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal in ASCII need not stop anything
            stream.reconfigure(errors="backslashreplace")
    with in_one_line():
        app()


if __name__ == "__main__":
    main()

"""The command line: `xmdpt COMMAND --help`."""

import sys
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
for command in (
    *(runs.info, runs.profile, runs.run, runs.train, runs.exhibits, stage.stage),
    *(generate.generate, check.check, draw.demo, draw.export, draw.convert),
    *(measure.survey, measure.evaluate),
):
    app.command()(command)
app.add_typer(bench.app, name="bench")
app.add_typer(report.app, name="report")
app.add_typer(distill.app, name="distill")
app.add_typer(study.app, name="study")


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal in ASCII need not stop anything
            stream.reconfigure(errors="backslashreplace")
    with in_one_line():
        app()


if __name__ == "__main__":
    main()

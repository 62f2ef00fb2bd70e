"""The command line: `xmdpt COMMAND --help`."""

import sys

import typer

from xmdpt.commands import check, draw, measure, report, runs, stage, study
from xmdpt.config import ConfigError
from xmdpt.support.arguments import BadInput

app = typer.Typer(
    help="X-MDPT: put a person into another pose.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    *(runs.info, runs.profile, runs.run, runs.train, stage.stage),
    *(draw.generate, check.check, draw.demo, draw.export, draw.convert),
    *(measure.survey, measure.evaluate, measure.bench),
):
    app.command()(command)
app.add_typer(report.app, name="report")
app.add_typer(study.app, name="study")


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    try:
        app()
    except (BadInput, ConfigError) as error:
        message = str(error)
    except OSError as error:  # a full disk, a folder that somebody removed
        message = error.strerror or str(error).partition("\n")[0]
        if error.filename is not None:
            message = f"{error.filename}: {message}"
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

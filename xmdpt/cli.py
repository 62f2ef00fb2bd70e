"""The command line: `xmdpt COMMAND --help`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xmdpt.config import ConfigError, load_config
from xmdpt.files import atomic_path

PARAMS = Path("params.yaml")
PROFILES = Path("profiles")

app = typer.Typer(
    help="X-MDPT: put a person into another pose.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class BadInput(ValueError):
    """What the user asked for cannot be done; the message is one line."""


@app.callback()
def _app() -> None:
    """Keeps commands by name, however few there are."""


def _profiles() -> dict[str, Path]:
    found = {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}
    if not found:
        raise BadInput(f"no profiles in {PROFILES.absolute()}; run this where xmdpt was cloned")
    return found


def _active(profiles: dict[str, Path]) -> str | None:
    """The profile that params.yaml equals, byte for byte."""
    if not PARAMS.exists():
        return None
    text = PARAMS.read_bytes()
    return next((name for name, path in profiles.items() if path.read_bytes() == text), None)


def _summary(path: Path) -> str:
    """The first sentence of the comment that opens a profile."""
    comment = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment).partition(". ")[0].rstrip(".")


def _list_profiles() -> None:
    profiles = _profiles()
    active = _active(profiles)
    width = max(map(len, profiles))
    for name, path in profiles.items():
        print(f"{'*' if name == active else ' '} {name:{width}}  {_summary(path)}")
    if active is None:
        state = "was changed by hand and equals none of them" if PARAMS.exists() else "is not there"
        print(f"params.yaml {state}")


@app.command()
def profile(
    name: Annotated[str | None, typer.Argument(help="Profile to put in place.")] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace changes made by hand; params.yaml.bak keeps them."),
    ] = False,
) -> None:
    """Put a profile in place as params.yaml; without NAME, list them (* is in place).

    Examples: xmdpt profile, xmdpt profile smoke.
    """
    if name is None:
        _list_profiles()
        return
    profiles = _profiles()
    if name not in profiles:
        raise BadInput(f"no profile '{name}'; there are: {', '.join(profiles)}")
    load_config(profiles[name])
    if PARAMS.exists() and _active(profiles) is None:
        if not force:
            raise BadInput("params.yaml has changes of yours; --force replaces them, with a backup")
        backup = PARAMS.with_suffix(".yaml.bak")
        backup.write_bytes(PARAMS.read_bytes())
        print(f"your params.yaml is kept as {backup}")
    with atomic_path(PARAMS) as partial:
        partial.write_bytes(profiles[name].read_bytes())
    print(f"params.yaml is now '{name}'; `make repro` carries it out")


@app.command()
def survey(
    folder: Annotated[Path, typer.Argument(help="DeepFashion, or a data set of your own.")],
    size: Annotated[int, typer.Option(help="Side in pixels of the squared pictures.")] = 256,
    read: Annotated[
        bool, typer.Option("--read", help="Decode every picture too, which takes minutes.")
    ] = False,
) -> None:
    """Say what a data set holds, what it lacks, where to get that, and where to put it.

    Example: xmdpt survey data/raw/deepfashion --read.
    """
    from xmdpt.data.prepare import read_all
    from xmdpt.data.stores import DataError
    from xmdpt.data.survey import survey as look_through

    try:
        found = look_through(folder, size)
        print(found)
        found.require()
        if read:
            print(f"{len(read_all(found.open(), found.names)):,} pictures are readable")
    except DataError as error:
        raise BadInput(str(error)) from None


@app.command()
def report() -> None:
    """Write reports/index.html from what is in reports/."""
    from xmdpt.report import write_report

    print(f"wrote {write_report()}")


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    try:
        app()
    except (BadInput, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

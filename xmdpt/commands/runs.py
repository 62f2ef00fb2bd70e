"""Commands on this repository: what is here, profiles, notebooks, training ahead."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def info(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for a bug report.")] = False,
) -> None:
    """Say which versions, device, data and weights are here, and how to get what is missing.

    Examples: xmdpt info, xmdpt info --json.
    """
    import json

    from xmdpt.stages.info import as_text, collect

    found = collect()
    print(json.dumps(found, indent=2) if as_json else as_text(found))


def profile(
    name: Annotated[str | None, typer.Argument(help="Profile to activate.")] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace changes made by hand; params.yaml.bak keeps them."),
    ] = False,
) -> None:
    """Make a profile the settings (params.yaml); without NAME, list them (* is active).

    Examples: xmdpt profile, xmdpt profile smoke.
    """
    from xmdpt.stages.profiles import list_profiles, put_in_place

    if name is None:
        list_profiles()
    else:
        put_in_place(name, force)


def run(
    notebook: Annotated[Path, typer.Argument(help="A notebook with a `parameters` cell.")],
    output: Annotated[Path, typer.Option(help="Where to keep the executed notebook.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of a parameter; repeatable.")
    ] = None,
) -> None:
    """Execute a notebook where params.yaml is, and keep the result.

    Exit code 1 where a cell failed: the executed notebook then holds its traceback.

    Example:
    xmdpt run notebooks/ablations/guidance.ipynb --output build/guidance.ipynb --set 'scales=[1, 2]'
    """
    from xmdpt.stages.notebook import KernelDied, run_notebook

    try:
        succeeded = run_notebook(notebook, output, settings or [])
    except KernelDied as error:
        print(f"error: {error}", file=sys.stderr)
        succeeded = False
    if not succeeded:
        raise typer.Exit(1)


def train(
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time, one a core.")] = 2,
) -> None:
    """Train the runs of params.yaml side by side, ahead of `dvc repro`, which then finds them.

    Exit code 1 where a run failed; the others are kept.

    Example: dvc repro features && xmdpt train && dvc repro.
    """
    from xmdpt.stages.ahead import train_ahead

    failed = []
    for run, succeeded in train_ahead(workers):
        print(f"{run}: {'trained' if succeeded else 'failed'}", flush=True)
        failed += [] if succeeded else [run]
    if failed:
        raise typer.Exit(1)

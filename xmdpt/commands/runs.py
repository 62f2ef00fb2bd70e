"""Commands on this repository: what is here, profiles, notebooks, training and exhibits ahead."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import profile_names, run_names
from xmdpt.support.arguments import BadInput, check_clone, check_new


def info(as_json: AsJson = False) -> None:
    """Say which versions, device, data and weights are here, and how to get what is missing.

    Examples:
    xmdpt info
    xmdpt info --json
    """
    from xmdpt.stages.info import as_text, collect

    with answers(as_json) as answer:
        found = collect()
        answer(as_text(found), found)


def profile(
    name: Annotated[
        str | None, typer.Argument(help="Profile to activate.", autocompletion=profile_names)
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace changes made by hand; params.yaml.bak keeps them."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Activate a profile (write it to params.yaml); without NAME, list all (* is active).

    Examples:
    xmdpt profile
    xmdpt profile smoke
    xmdpt profile --json
    """
    from xmdpt.stages.profiles import as_text, collect, put_in_place

    check_clone()
    if name is not None:
        if as_json:
            raise BadInput("--json lists the profiles; leave NAME out")
        put_in_place(name, force)
        return
    with answers(as_json) as answer:
        found = collect()
        answer(as_text(found), found)


def run(
    notebook: Annotated[Path, typer.Argument(help="A notebook with a `parameters` cell.")],
    output: Annotated[Path, typer.Option(help="Where to keep the executed notebook.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of a parameter; repeatable.")
    ] = None,
) -> None:
    """Execute a notebook in the folder of params.yaml, and keep the result.

    Exit code 1 if a cell failed: the executed notebook then holds its traceback.

    Example:
    xmdpt run notebooks/ablations/guidance.ipynb --output out.ipynb --set people=3
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
    run: Annotated[
        str | None,
        typer.Argument(help="A run of params.yaml; default: all.", autocompletion=run_names),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for its weights; needed with RUN. It must not exist."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, such as train.batch_size=64; repeatable."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Without RUN: runs at a time; default: one per GPU, or core."),
    ] = None,
) -> None:
    """Train one run; without RUN, train, draw and score all stale runs side by side.

    One run is trained outside the graph, in any number of processes. Stale runs
    are those that `dvc repro` would train; it then finds them finished. Each
    takes a GPU or core. Exit code 1 if a run failed; the others are kept.

    Examples:
    xmdpt train base_b --out weights/b --set train.batch_size=64
    torchrun --nproc-per-node 8 -m xmdpt train base_b --out weights/b
    dvc repro features && xmdpt train && dvc repro
    """
    check_clone()
    if run is not None:
        _train_one(run, out, settings or [])
        return
    if out is not None or settings:
        raise BadInput("--out and --set need one run: name it, as in xmdpt train base_b --out b")
    from xmdpt.stages.ahead import make_ahead
    from xmdpt.support.workers import default_workers

    failed = []
    for job, succeeded in make_ahead(workers or default_workers()):
        how = "done" if succeeded else "failed"
        print(f"{job.run}: {', '.join(job.stages)} {how}", flush=True)
        failed += [] if succeeded else [job.run]
    if failed:
        raise typer.Exit(1)


def _train_one(run: str, out: Path | None, settings: list[str]) -> None:
    if out is None:
        raise BadInput("--out: name a folder for the weights of RUN")
    check_new(out)  # what is there would be replaced, whatever it is
    from xmdpt.data.stores import DataError
    from xmdpt.stages.alone import train_alone
    from xmdpt.support.arguments import one_line
    from xmdpt.training.errors import TrainingError

    with one_line(DataError, TrainingError):
        train_alone(run, out, settings)


def exhibits(
    workers: Annotated[
        int | None, typer.Option(min=1, help="Exhibits at a time; default: one per core, up to 8.")
    ] = None,
) -> None:
    """Make the paper's tables and figures side by side, ahead of the graph.

    Those that `dvc repro` would make are made and recorded, the same bytes; it
    then finds them up to date. Exit code 1 if one failed; the others are kept.

    Example:
    dvc repro evaluate costs && xmdpt exhibits && dvc repro
    """
    check_clone()
    from xmdpt.stages.exhibits import make_exhibits
    from xmdpt.support.cores import workers_on_cores

    failed = False
    for made in make_exhibits(workers or workers_on_cores()):
        print(f"{made.stage}: {'done' if made.succeeded else 'failed'}", flush=True)
        if not made.succeeded:
            failed = True
            print(made.said, file=sys.stderr)
    if failed:
        raise typer.Exit(1)

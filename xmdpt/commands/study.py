"""Commands of the study: what is finished, going on, and what it says."""

from pathlib import Path
from typing import Annotated

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.support.arguments import check_clone

app = typer.Typer()

Out = Annotated[Path, typer.Option(help="Folder of the runs' scores.")]
RUNS = Path("reports/reference/study/runs")


@app.callback(invoke_without_command=True)
def status(context: typer.Context, out: Out = RUNS, as_json: AsJson = False) -> None:
    """Say which runs of the study are finished; `run` continues it, `report` judges the claims.

    Examples:
    xmdpt study
    xmdpt study --json
    """
    check_clone()
    if context.invoked_subcommand is None:
        from xmdpt.study.design import load_design
        from xmdpt.study.status import as_text, collect

        with answers(as_json) as answer:
            found = collect(load_design(), out)
            answer(as_text(found), found)


@app.command()
def run(
    rows: Annotated[list[str] | None, typer.Option(help="Only this row; repeatable.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Only this seed; repeatable.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; default: one per GPU, or core.")
    ] = None,
    params: Annotated[Path, typer.Option(help="Settings of the study.")] = Path("params.yaml"),
    out: Out = RUNS,
    follow_ups: Annotated[
        bool,
        typer.Option(
            "--follow-ups", help="The rows under `follow_ups` of claims.yaml, beside that folder."
        ),
    ] = False,
) -> None:
    """Train, draw and score what is not finished; you can stop it and run it again to continue.

    Before the first time, run: xmdpt profile study && dvc repro features.

    Examples:
    xmdpt study run
    xmdpt study run --rows base_b --seeds 0 --workers 1
    xmdpt study run --follow-ups
    """
    from xmdpt.study.design import FOLLOW_UPS, load_design
    from xmdpt.study.status import of_run
    from xmdpt.study.workers import all_runs, carry_out_all, follow_up_runs, select
    from xmdpt.support.workers import default_workers

    design = load_design()
    if follow_ups:
        out, runs = out.parent / FOLLOW_UPS, follow_up_runs(design, seeds or ())
    else:
        runs = all_runs(design, seeds or ())
    missing = select(runs, out, rows or ())
    print(f"{len(missing)} runs to make")
    for done, finished in enumerate(
        carry_out_all(params, missing, out, workers or default_workers()), start=1
    ):
        print(f"{done} of {len(missing)}: {of_run(finished, out)}", flush=True)


@app.command()
def report(
    folder: Annotated[
        Path, typer.Option(help="Folder for the page; it holds `runs`.")
    ] = RUNS.parent,
    as_json: AsJson = False,
) -> None:
    """Judge the claims by the finished runs, and write the page.

    For the repository's own runs, this also updates the table in README.

    Examples:
    xmdpt study report
    xmdpt study report --json
    """
    from xmdpt.study.beside import read_verdicts
    from xmdpt.study.design import load_design
    from xmdpt.study.page import write_page

    readme = Path("README.md") if folder == RUNS.parent else None
    with answers(as_json) as answer:
        page = write_page(load_design(), folder, readme)
        answer(f"wrote {page}", {"page": str(page), "verdicts": read_verdicts(folder)})

"""Commands on a finished run: its page, here or to mail, its W&B report, and offline runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmdpt.support.arguments import BadInput, check_clone, check_file

if TYPE_CHECKING:
    from xmdpt.stages.wandb_report import Reproduction

app = typer.Typer()


@app.callback(invoke_without_command=True)
def page(context: typer.Context) -> None:
    """Write reports/index.html from what is in reports/, and log the exhibits to W&B.

    `bundle` makes one file to mail, `publish` makes a W&B report, and `sync`
    sends runs that were logged offline.

    Examples:
    xmdpt report
    xmdpt report bundle
    xmdpt report publish
    xmdpt report sync
    """
    if context.invoked_subcommand is None:
        check_clone()
        from xmdpt.config import load_config
        from xmdpt.stages.account import asked_mode
        from xmdpt.stages.exhibit_log import log_exhibits
        from xmdpt.stages.report import write_report

        asked_mode()
        written = write_report(".", _verdicts())
        print(f"wrote {written}")
        log_exhibits(load_config())


def _verdicts() -> dict[str, dict[str, Any]]:
    """The lines of the study's table; none outside a clone, which has no study."""
    from xmdpt.study.beside import PAGE, VERDICTS, read_verdicts

    return read_verdicts() if (PAGE / VERDICTS).is_file() else {}


NOTHING = "reports/exhibits: nothing made yet; `make repro` runs the graph"


@app.command()
def bundle(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("reports/bundle.html"),
) -> None:
    """Write the page as one file below 20 MB that you can mail; it fetches nothing from outside.

    If pictures have to be made smaller, the command says so.

    Example:
    xmdpt report bundle --out results.html
    """
    from xmdpt.paper.exhibits import read_exhibits
    from xmdpt.stages.bundle import FITS, write_bundle

    check_clone()
    check_file(out)
    if out.suffix not in (".html", ".htm"):
        raise BadInput(f"--out {out}: must end in .html, or browsers will not open it")
    if not read_exhibits():
        raise BadInput(NOTHING)
    size, fit = write_bundle(out, _verdicts())
    print(f"wrote {out}, {size / 1e6:.1f} MB")
    if fit != FITS[0]:
        print(f"to fit, pictures were made smaller: at most {fit.widest} pixels wide")


def _found() -> "Reproduction":
    """What is on disk, or BadInput where that is no finished reproduction."""
    from xmdpt.stages.wandb_report import read_reproduction
    from xmdpt.study.beside import read_verdicts

    check_clone()
    found = read_reproduction(read_verdicts())
    if not found.exhibits:
        raise BadInput(NOTHING)
    return found


def _check_library() -> None:
    try:
        import wandb_workspaces.reports.v2  # noqa: F401
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("wandb", "wandb_workspaces"):
            raise
        raise BadInput(
            "a W&B report needs wandb-workspaces: pip install wandb-workspaces"
        ) from None


def _write(out: Path | None, project: str | None, title: str | None) -> Path:
    """Write the report and its preview; the path of the former."""
    from xmdpt.stages.publish import FOLDER, write_blocks
    from xmdpt.stages.tracking import project_name

    path = out or FOLDER / "report.json"
    check_file(path)
    if path.suffix != ".json":
        raise BadInput(f"--out {path}: must end in .json")
    written, page = write_blocks(_found(), path, project or project_name(), title)
    print(f"wrote {written}, and its preview {page}")
    return written


def _hindrance() -> str | None:
    """Why nothing can be sent now, in words; None where it can."""
    from xmdpt.stages.account import asked_mode, obstacle

    mode = asked_mode()
    return f"WANDB_MODE={mode}" if mode not in (None, "online") else obstacle()


@app.command()
def publish(
    entity: Annotated[str | None, typer.Option(help="Account or team; default: yours.")] = None,
    project: Annotated[
        str | None, typer.Option(help="Default: the project of the runs, or of --from.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Default: named after the profile, or the title of --from.")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Send it as a draft.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="The report as JSON; an HTML preview is written beside it.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Send this file, written earlier.")
    ] = None,
) -> None:
    """Make a W&B report of this run and send it, replacing the one sent before.

    Without a login or a network, the report stays in a file, which --from sends
    later.

    Examples:
    xmdpt report publish
    xmdpt report publish --from reports/wandb/report.json
    """
    _check_library()
    from xmdpt.stages.account import asked_mode
    from xmdpt.stages.publish import check_title, read_blocks, send

    asked_mode()
    check_title(title)
    if source is None:
        source = _write(out, project, title)
    elif out is not None:
        raise BadInput("--out and --from: name one; --from sends a file and writes none")
    else:
        read_blocks(source)
    if (reason := _hindrance()) is None:
        try:
            print(f"sent {send(source, entity, project, title, draft)}")
            return
        except Exception as error:  # the library raises plain ones; none may lose the file
            reason = " ".join(str(error).split()) or type(error).__name__
    print(f"not sent ({reason}); send it later: xmdpt report publish --from {source}")


@app.command()
def sync() -> None:
    """Send all runs that were logged offline, and say which.

    Exit code 1 if a run did not arrive; it is kept, and the next call tries
    again.

    Example:
    xmdpt report sync
    """
    from xmdpt.stages.account import obstacle
    from xmdpt.stages.sync import offline_runs, run_of, send_runs

    folders = offline_runs()
    if not folders:
        print("no offline runs to send")
        return
    if reason := obstacle():
        raise BadInput(f"{len(folders)} offline runs wait in {folders[0].parent}; {reason}")
    arrived = send_runs(folders)
    for folder, whole in arrived.items():
        where = sys.stdout if whole else sys.stderr
        print(f"{'sent' if whole else 'not sent'}: {run_of(folder)} ({folder})", file=where)
    if not all(arrived.values()):
        raise typer.Exit(1)

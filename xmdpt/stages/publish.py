"""The W&B report as a file, as a page to look at first, and sent: first written, then sent from it.

Needs the extra `wandb`, as `wandb_report.py` does.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as wr
from nbconvert.filters import markdown2html
from pydantic import ValidationError

from xmdpt.paper.exhibits import exhibit_folder
from xmdpt.stages.account import address
from xmdpt.stages.exhibit_log import key_of
from xmdpt.stages.pictures import data_uri
from xmdpt.stages.templates import template
from xmdpt.stages.wandb_report import Reproduction, build_blocks
from xmdpt.support.arguments import BadInput
from xmdpt.support.files import atomic_path, read_json, write_json
from xmdpt.support.network import shown

FOLDER = Path("reports/wandb")
PUBLISHED = "published.json"
"""The file in `FOLDER` that knows which report was sent: server/entity/project/title -> its id."""
LONGEST = 128  # characters of a title


def title_of(found: Reproduction) -> str:
    """The title that a report has unless told otherwise: it follows from the profile alone."""
    return f"X-MDPT, reproduced: {found.config.profile}"


def _pictures(found: Reproduction, root: Path) -> dict[str, str | None]:
    """Key of a logged figure -> the picture on disk, as a data URI."""
    return {
        key_of(one["name"], figure): data_uri(exhibit_folder(one["name"], root) / f"{figure}.png")
        for one in found.exhibits
        for figure in one["figures"]
    }


def _part(block: Any, pictures: Mapping[str, str | None]) -> dict[str, Any]:
    """What the preview shows of a block; nothing of a table of contents."""
    if isinstance(block, wr.PanelGrid):
        keys = [key for panel in block.panels for key in getattr(panel, "media_keys", [])]
        titles = [panel.title for panel in block.panels if panel.title]
        shown = [pictures[key] for key in keys if pictures.get(key)]
        return {"live": block.runsets[0].name, "panels": titles, "pictures": shown}
    if isinstance(block, wr.H1 | wr.H2):
        return {"level": 2 if isinstance(block, wr.H1) else 3, "text": block.text}
    return {"html": markdown2html(block.text)} if isinstance(block, wr.MarkdownBlock) else {}


def preview(blocks: Sequence[Any], title: str, pictures: Mapping[str, str | None]) -> str:
    """The blocks as a page of one file; live panels, which need the server, are named in boxes."""
    parts = [part for block in blocks if (part := _part(block, pictures))]
    return template("wandb_report.html.jinja").render(title=title, parts=parts)


def write_blocks(
    found: Reproduction, out: Path, project: str, title: str | None = None, root: str | Path = "."
) -> tuple[Path, Path]:
    """Write the report as `out`, in the library's own JSON, and the preview beside it as HTML."""
    title, blocks = title or title_of(found), build_blocks(found)
    report = wr.Report(project=project, entity="", title=title, blocks=blocks)
    text = report._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=1)
    page = out.with_suffix(".html")
    for path, content in (
        (page, preview(blocks, title, _pictures(found, Path(root)))),
        (out, text + "\n"),
    ):
        with atomic_path(path) as partial:
            partial.write_text(content, encoding="utf-8")
    return out, page


def read_blocks(path: Path) -> wr.Report:
    """The report in a file of `write_blocks`; raises BadInput where it holds none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # the library warns of a broken block
            model = wr.internal.ReportViewspec.model_validate_json(path.read_bytes())
            if not model.spec.blocks:
                raise ValueError("no blocks")
            report: wr.Report = wr.Report._from_model(model)
            return report
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; `xmdpt report publish` writes one") from None
    except (ValidationError, UserWarning, ValueError, TypeError, AttributeError):
        wanted = "the JSON that `xmdpt report publish` writes"
        raise BadInput(f"{path}: not a W&B report; wanted {wanted}") from None


def check_title(title: str | None) -> None:
    """Raise BadInput for a title that W&B does not take."""
    if title is not None and not 0 < len(title.strip()) <= LONGEST:
        raise BadInput(f"--title: {len(title)} characters; W&B takes 1 to {LONGEST}")


def send(
    path: Path,
    entity: str | None = None,
    project: str | None = None,
    title: str | None = None,
    draft: bool = False,
) -> str:
    """Send the report in a file, in place of the one of the same title sent before; its address.

    `entity`, `project` and `title` are else the account's own and the file's. Raises whatever
    wandb raises without login, network or project.
    """
    report = read_blocks(path)
    report.entity = entity or wr.interface._get_api().default_entity
    report.project, report.title = project or report.project, title or report.title
    for block in report.blocks:
        if isinstance(block, wr.PanelGrid):
            for runs in block.runsets:
                runs.entity, runs.project = report.entity, report.project
    known = FOLDER / PUBLISHED
    ids: dict[str, str] = read_json(known, "delete it") if known.is_file() else {}
    name = f"{shown(address())}/{report.entity}/{report.project}/{report.title}"
    report.id = ids.get(name, "")
    report.save(draft=draft)
    write_json(known, ids | {name: report.id})
    return str(report.url)

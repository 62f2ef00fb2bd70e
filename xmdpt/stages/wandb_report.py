"""A W&B report of a finished reproduction, block by block, from what is on disk.

`read_reproduction` reads, `build_blocks` is a pure function of what was read: neither asks anyone.
`publish.py` writes and sends what is built here. Needs the extra `wandb` (package
wandb-workspaces), whose names beginning with an underscore are used where it has no others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces import expr

from xmdpt.config import Config
from xmdpt.metrics.labels import METRICS
from xmdpt.paper.exhibits import HOW_TO_READ, Status, exhibit_folder, read_exhibits
from xmdpt.paper.scores import Results, tables_with
from xmdpt.stages.exhibit_log import exhibits_run, key_of
from xmdpt.stages.origin import provenance
from xmdpt.stages.tracking import run_id
from xmdpt.support.files import fingerprint

LOSSES = ("loss", "mse", "masked_mse", "fixed_mse", "grad_norm")
"""What the panels of training show, of the columns of a run's history."""


@dataclass(frozen=True)
class Reproduction:
    """All that the report says, read from disk."""

    config: Config
    runs: Mapping[str, Config]
    """Run -> its settings."""
    exhibits: Sequence[dict[str, Any]]
    """Records in the paper's order; `tables` maps their names to Markdown."""
    verdicts: Mapping[str, dict[str, Any]]
    """Claim of the study -> its line in the study's table."""
    metrics: Sequence[str]
    """The metrics that some run was scored by."""
    provenance: Mapping[str, str]
    """What it was computed on, and by."""


def _exhibit(record: dict[str, Any], root: Path) -> dict[str, Any]:
    folder = exhibit_folder(record["name"], root)
    tables = {name: (folder / f"{name}.md").read_text("utf-8") for name in record["tables"]}
    return record | {"tables": tables}


def read_reproduction(
    verdicts: Mapping[str, dict[str, Any]], root: str | Path = "."
) -> Reproduction:
    """Read what the stages left below `root`; raises ConfigError where params.yaml is unusable."""
    root = Path(root)
    results = Results(root / "params.yaml")
    runs = {run: results.of_run(run) for run in results.config.runs}
    rows = [row for run in runs for row in results.rows(run).values()]
    return Reproduction(
        results.config,
        runs,
        [_exhibit(record, root) for record in read_exhibits(root)],
        verdicts,
        [name for name in METRICS if any(name in row for row in rows)],
        provenance(root),
    )


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a cell does not end it."""
    lines = [heading, [":--"] * len(heading), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


def _runset(name: str, ids: Sequence[str]) -> wr.Runset:
    """Just these runs, in the report's own project."""
    runs = wr.Runset(name=name, filters=[expr.Metric("ID").isin([*ids])])
    runs._id = fingerprint("runset", name, ids)
    return runs


def _grid(name: str, ids: Sequence[str], panels: Sequence[wr.interface.Panel]) -> wr.PanelGrid:
    """Live panels on named runs; the same ones get the same ids, so that files can be compared."""
    for number, panel in enumerate(panels):
        panel._id = fingerprint("panel", name, number)
    return wr.PanelGrid(runsets=[_runset(name, ids)], panels=[*panels])


def _curves(found: Reproduction, title: str, runs: Sequence[str]) -> wr.PanelGrid:
    """Training curves of these runs alone; seeds of one row become a band."""
    ids = [run_id("train", run, found.runs[run].model_dump()) for run in runs]
    panels = [
        wr.LinePlot(title=name, x="Step", y=[name], log_y=True, groupby=wr.Config("row"))
        for name in LOSSES
    ]
    return _grid(f"training: {title}", ids, panels)


def _scores(found: Reproduction, title: str, runs: Sequence[str]) -> wr.PanelGrid:
    """Scores of these runs against the samples that their training saw, and against their size."""
    ids = [run_id("evaluate", run, found.runs[run].model_dump()) for run in runs]
    panels = [
        wr.LinePlot(
            title=METRICS[name].label,
            x="score/samples",
            y=[f"score/{name}"],
            title_x="samples",
            groupby=wr.Config("row"),
        )
        for name in found.metrics
    ]
    panels += [
        wr.ScatterPlot(
            title=f"{METRICS[name].label} by size",
            x=wr.SummaryMetric("parameters"),
            y=wr.SummaryMetric(f"score/{name}"),
            log_x=True,
        )
        for name in found.metrics
    ]
    return _grid(f"scores: {title}", ids, panels)


def _pictures(found: Reproduction) -> wr.PanelGrid:
    """The same test pairs as each run drew them, by checkpoint."""
    ids = [run_id("sample", run, config.model_dump()) for run, config in found.runs.items()]
    panel = wr.MediaBrowser(title="source | pose | ours | truth", media_keys=["grid"])
    return _grid("pictures: all runs", ids, [panel])


def _figures(found: Reproduction, exhibit: dict[str, Any]) -> wr.PanelGrid:
    """An exhibit's figures: a report takes no files, so they are those that its run holds."""
    keys = [key_of(exhibit["name"], figure) for figure in exhibit["figures"]]
    panel = wr.MediaBrowser(title=exhibit["title"], media_keys=keys, num_columns=1)
    panel.layout = wr.Layout(w=24, h=12)
    return _grid(f"figures: {exhibit['name']}", [exhibits_run(found.config)], [panel])


def _decided(found: Reproduction) -> list[wr.interface.Block]:
    """The study's verdicts: how many, and each one that is more than "not run"."""
    counts = Counter(line["status"] for line in found.verdicts.values())
    said = ", ".join(f"{counts[one]} {one}" for one in get_args(Status) if counts[one])
    rows = [
        [line["claim"], line["where"], line["paper"], line["gain"], line["verdict"]]
        for line in found.verdicts.values()
        if line["status"] != "not run"
    ]
    blocks = [wr.MarkdownBlock(f"Of {len(found.verdicts)} claims of the study: {said}.")]
    if rows:
        heading = ["claim", "where", "paper", "gain", "verdict"]
        blocks.append(wr.MarkdownBlock(_table(heading, rows)))
    else:
        blocks.append(wr.MarkdownBlock("The study has not decided any claim yet."))
    return [wr.H1("What is decided"), *blocks, wr.MarkdownBlock(HOW_TO_READ)]


def _section(found: Reproduction, exhibit: dict[str, Any]) -> list[wr.interface.Block]:
    blocks = [wr.H2(exhibit["title"]), wr.MarkdownBlock(exhibit["caption"])]
    if exhibit["claims"]:
        said = [
            f"* **{one['status']}:** {one['text'].rstrip('.')}. {one['evidence']}"
            for one in exhibit["claims"]
        ]
        blocks.append(wr.MarkdownBlock("\n".join(said)))
    blocks += [wr.MarkdownBlock(text) for text in exhibit["tables"].values()]
    if exhibit["figures"]:
        blocks.append(_figures(found, exhibit))
    if shown := [run for run in found.runs if exhibit["name"] in tables_with(run)]:
        blocks.append(_scores(found, exhibit["title"], shown))
        blocks.append(_curves(found, exhibit["title"], shown))
    return [*blocks, wr.MarkdownBlock(f"*{exhibit['provenance']}*")]


def _origin(found: Reproduction) -> list[wr.interface.Block]:
    config = found.config
    rows = [
        ["profile", f"`{config.profile}`, seed {config.seed}"],
        ["data", "rendered people, not DeepFashion" if config.data.rendered else config.data.raw],
        ["protocol of the scores", config.evaluate.protocol],
        *found.provenance.items(),
        ["hardware of a run", "on its page, under System"],
    ]
    return [wr.H1("Provenance"), wr.MarkdownBlock(_table(["", ""], rows))]


def build_blocks(found: Reproduction) -> list[wr.interface.Block]:
    """The blocks of the report, top to bottom; the same findings give the same blocks."""
    everyone = [*found.runs]
    blocks = [wr.TableOfContents(), *_decided(found), wr.H1("The runs"), _pictures(found)]
    blocks += [_scores(found, "all runs", everyone), _curves(found, "all runs", everyone)]
    blocks.append(wr.H1("The paper's tables and figures"))
    for exhibit in found.exhibits:
        blocks += _section(found, exhibit)
    return [*blocks, *_origin(found)]

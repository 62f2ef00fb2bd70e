"""The page to read, `reports/index.html`, from what the stages left in reports/; one file, and
beside it in `reports/pages/` the executed notebooks."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from markupsafe import Markup

from xmdpt.config import Config, load_config
from xmdpt.metrics.labels import BASELINES, FEW, FEW_ABOUT, LIMITS, METRICS, best_values
from xmdpt.paper.claims import study_found
from xmdpt.paper.exhibits import (
    DECIDED,
    HOW_TO_READ,
    HOW_TO_READ_GAINS,
    Status,
    exhibit_folder,
    read_exhibits,
    read_sheet,
)
from xmdpt.paper.scores import Results, drawing_in_words
from xmdpt.stages.curves import training_curves
from xmdpt.stages.kept import drop_recorded
from xmdpt.stages.origin import provenance
from xmdpt.stages.pages import write_pages
from xmdpt.stages.pictures import PAGE, Fit, data_uri, small_uri
from xmdpt.stages.templates import template
from xmdpt.support.files import atomic_path, read_json

HERE = Path(__file__).parent
SETTINGS = "params.yaml"
STUDY = Path("reports/reference/study/verdicts.png")
"""The picture that `xmdpt study report` draws once it has verdicts."""
OURS = {"ablation", "main", "after"}
SHARED = {"method", "layers", "width", "heads", "guidance"}  # the paper's and ours alike
VAE_ROWS = {"before": "as it started", "after": "after its training"}
NOTEBOOKS = {
    "00_released": "convert published weights",
    "01_prepare_data": "prepare the people",
    "02_finetune_vae": "fine-tune the autoencoder",
    "03_cache_features": "cache features",
    "06_baselines": "score baselines and limits",
}
RUN_NOTEBOOKS = {"04_train": "train", "05_sample": "sample", "06_evaluate": "evaluate"}


def _number(value: float | None, metric: str) -> str:
    return "" if value is None else f"{value:.{METRICS[metric].decimals}f}"


def _interval(row: dict[str, Any], metric: str) -> str:
    low, high = (row.get(end, {}).get(metric) for end in ("low", "high"))
    return (
        "" if low is None or high is None else f"{_number(low, metric)} to {_number(high, metric)}"
    )


def score_table(scores: dict[str, dict[str, Any]], labels: dict[str, str]) -> dict[str, Any]:
    """Headings, rows (in the order of `labels`) and explanations of a table of metrics.

    The best of a column is marked; `LIMITS` and rows of fewer pairs do not compete. `pairs` is how
    many test pairs all rows are of, in words; a row has its own number where they differ.
    """
    counts = {name: int(row["count"]) for name, row in scores.items() if "count" in row}
    differ = len(set(counts.values())) > 1
    shown = [name for name in METRICS if any(row.get(name) is not None for row in scores.values())]
    rivals, best = best_values(scores, shown)
    rows = []
    for name in sorted(scores, key=[*labels, *scores].index):
        row, limit = scores[name], name in LIMITS
        cells = [
            {
                "value": _number(row.get(metric), metric),
                "interval": _interval(row, metric),
                "few": FEW if metric in row.get("few", {}) else "",
                "best": name in rivals and metric in best and row.get(metric) == best[metric],
            }
            for metric in shown
        ]
        kind = "limit" if limit else "ours" if name in OURS else ""
        pairs = counts.get(name, "") if differ else None
        rows.append({"label": labels.get(name, name), "kind": kind, "cells": cells, "pairs": pairs})
    pairs = "as many as each row says" if differ else str(max(counts.values(), default=0))
    few = FEW_ABOUT if any("few" in row for row in scores.values()) else ""
    return {"metrics": [METRICS[name] for name in shown], "rows": rows, "pairs": pairs, "few": few}


def _side(ours: dict[str, Any], other: dict[str, Any], gains: dict[str, Any], key: str) -> str:
    """What `verdict` says of a metric; empty where there is nothing to hold against each other."""
    mine, theirs = ours.get(key), other.get(key)
    if mine is None or theirs is None or METRICS[key].higher is None:
        return ""
    if key in gains:
        low, high = gains[key]
        return "better on" if low > 0 else "worse on" if high < 0 else "no clear difference on"
    if ours.get("count") != other.get("count"):
        return ""
    ahead = mine > theirs if METRICS[key].higher else mine < theirs
    return f"{'ahead' if ahead else 'not ahead'}, by a value without an interval, on"


def verdict(scores: dict[str, dict[str, Any]], ours: str) -> list[str]:
    """A line per baseline: on which metrics the row `ours` is better, and on which it is not.

    Better and worse where the interval of the paired difference (`paired_gains`, which the stage
    evaluate keeps as `against`) is clear of zero; distances between collections have none.
    """
    lines = []
    for name in (name for name in BASELINES if name in scores and ours in scores):
        gains = scores[ours].get("against", {}).get(name, {})
        sides: dict[str, list[str]] = {}
        for key, metric in METRICS.items():
            side = _side(scores[ours], scores[name], gains, key)
            sides.setdefault(side, []).append(metric.label)
        parts = [f"{side} {', '.join(labels)}" for side, labels in sides.items() if side]
        lines.append(f"Against “{BASELINES[name]}”: {'; '.join(parts)}.")
    return lines


def start_of(config: Config, run: str) -> str:
    """Where the training of a run began, in words."""
    if file := config.experiments[run].released:
        return f"Not trained here: the weights are those that the authors published, {file}."
    steps = f"{config.train.steps:,} steps of batch {config.train.batch_size}"
    if config.train.resume is not None:
        steps += f", in part with other settings, from the state {config.train.resume}"
    if config.train.init is None:
        return f"Trained from scratch for {steps}."
    return (
        f"Warm-started: training began from the weights in {config.train.init}, which had been "
        f"trained before, and went on for {steps}. Where that is short, it is those weights, more "
        "than this training, that the results show."
    )


def dataset_of(config: Config) -> str:
    """What the numbers were computed on, in words."""
    data = f"the data set in {config.data.raw}"
    if config.data.rendered:
        data = "rendered people, not DeepFashion"
    return f"{data}, under protocol {config.evaluate.protocol}"


def strangers_of(config: Config) -> str:
    """Who the test people are, in words; a data set's own sets may share people."""
    if config.data.rendered:
        return "test people never seen in training"
    return "the data set's own test pairs (Figures 16 to 18 tell what training and test set share)"


def autoencoder_of(config: Config) -> str:
    """How the autoencoder came about, in words."""
    if config.vae.init is None:
        return f"All of it was trained from scratch for {config.vae.steps:,} steps."
    if config.vae.steps == 0:
        return f"It is that in {config.vae.init}, as it is."
    if config.vae.train_encoder:
        what, rest = "Encoder and decoder were", ""
    else:
        what, rest = "Its decoder was", "; the encoder stayed as it was"
    return f"{what} fine-tuned from {config.vae.init} for {config.vae.steps:,} steps{rest}."


@dataclass(frozen=True)
class Page:
    """How a page is made: what lies beside it, and how large its pictures may be."""

    notebooks: frozenset[str] = frozenset()
    """Names of executed notebooks in pages/."""
    alone: bool = False
    """Whether it goes without the files beside it, so that nothing can be linked to."""
    fit: Fit = PAGE
    verdicts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Claim of the study -> its line in the study's table."""


def _run_section(results: Results, run: str, fit: Fit) -> dict[str, Any]:
    config, scores = results.of_run(run), results.rows(run)
    title, figures = config.experiments[run].title, results.root / "reports/figures"
    checkpoints = config.train.checkpoints.items()
    labels = {name: f"{title} after {steps:,} steps" for name, steps in checkpoints}
    return {
        "name": run,
        "title": title,
        "start": start_of(config, run),
        "table": score_table(scores, labels | BASELINES | LIMITS),
        "verdict": verdict(scores, config.last_checkpoint),
        "grid": data_uri(figures / f"grid_{run}.png", fit),
        "curves": data_uri(figures / f"train_{run}.png", fit),
        "notebooks": {f"{stem}-{run}": text for stem, text in RUN_NOTEBOOKS.items()},
    }


def _ours(heading: list[str]) -> list[bool]:
    """Which columns of a table are ours: where some say they are the paper's, those that do not."""
    return [
        any("paper" in other for other in heading) and "paper" not in cell and cell not in SHARED
        for cell in heading
    ]


def _exhibit(root: Path, record: dict[str, Any], fit: Fit) -> dict[str, Any]:
    """An exhibit with its tables as rows of text and its pictures as data URIs."""
    folder, tables = exhibit_folder(record["name"], root), []
    for name in record["tables"]:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            heading, *rows = csv.reader(file)
        tables.append({"name": name, "heading": heading, "rows": rows, "ours": _ours(heading)})
    figures = {name: data_uri(folder / f"{name}.png", fit) for name in record["figures"]}
    sheet = [
        {"name": label, "pictures": [small_uri(picture, fit) for picture in pictures]}
        for label, pictures in read_sheet(record, root).items()
    ]
    return record | {"tables": tables, "figures": figures, "sheet": sheet}


def _claims(
    exhibits: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """What is claimed, with the exhibit that shows it; after them what no exhibit shows."""
    claims = [
        claim | {"exhibit": exhibit["name"]} for exhibit in exhibits for claim in exhibit["claims"]
    ]
    shown = {claim["text"] for claim in claims}
    for line in verdicts.values():
        text = f"{line['claim']} ({line['where']})"
        if text not in shown:
            evidence = "; ".join(study_found(line))
            claim = {"text": text, "status": line["status"], "evidence": evidence, "exhibit": None}
            claims.append(claim)
    return claims


def _opening(
    root: Path, runs: Sequence[Mapping[str, Any]], dataset: str, fit: Fit
) -> dict[str, Any] | None:
    """The one picture at the top: the study's, or what the first run drew; None before both."""
    if (root / STUDY).is_file():
        about = f"{HOW_TO_READ_GAINS} All of it is of the study's rendered people, not of this run."
        return {"uri": data_uri(root / STUDY, fit), "about": about}
    for run in runs:
        if run["grid"]:
            about = (
                f"{run['title']}: source, pose, ours and truth, one test pair a column. "
                f"Computed on {dataset}."
            )
            return {"uri": run["grid"], "about": about}
    return None


def _asset(name: str) -> Markup:
    """A script or style of this folder, to be put into the page as it is."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


def render(root: Path, config: Config, page: Page) -> str:
    """The page for the results below `root`; the same results give the same text."""
    exhibits = [_exhibit(root, record, page.fit) for record in read_exhibits(root)]
    results, vae = Results(root / SETTINGS), root / "reports/metrics/vae.json"
    runs = [_run_section(results, run, page.fit) for run in config.runs]
    of_vae = read_json(vae, "run the stage `vae` again") if vae.is_file() else {}
    claims = _claims(exhibits, page.verdicts)
    counts = Counter(claim["status"] for claim in claims)
    metrics = {metric.label: metric for run in runs for metric in run["table"]["metrics"]}
    return template("report.html.jinja").render(
        config=config,
        page=page,
        params=(root / SETTINGS).read_text(encoding="utf-8"),
        dataset=dataset_of(config),
        strangers=strangers_of(config),
        autoencoder=autoencoder_of(config),
        drawing=drawing_in_words(config),
        how_to_read=HOW_TO_READ,
        exhibits=exhibits,
        decided=[claim for claim in claims if claim["status"] in DECIDED],
        undecided=[claim for claim in claims if claim["status"] not in DECIDED],
        statuses={status: counts[status] for status in get_args(Status) if counts[status]},
        opening=_opening(root, runs, dataset_of(config), page.fit),
        curves=training_curves(root, config),
        runs=runs,
        metrics=list(metrics.values()),
        limits=any(row["kind"] == "limit" for run in runs for row in run["table"]["rows"]),
        people=data_uri(root / "reports/figures/people.png", page.fit),
        vae=score_table(of_vae, VAE_ROWS),
        vae_figure=data_uri(root / "reports/figures/vae.png", page.fit),
        notebooks=NOTEBOOKS,
        provenance=provenance(root, [SETTINGS]),
        asset=_asset,
    )


def write_report(
    root: str | Path = ".", verdicts: Mapping[str, Mapping[str, str]] | None = None
) -> Path:
    """Write reports/index.html and reports/pages/ below `root` and return the former's path.

    `verdicts` are the lines of the study's table. Raises `ConfigError` where params.yaml cannot be
    used.
    """
    config = load_config(Path(root) / SETTINGS)  # before anything is written
    drop_recorded(Path(root))
    reports = Path(root) / "reports"
    output = reports / "index.html"
    notebooks = write_pages(reports / "notebooks", reports / "pages")
    page = Page(frozenset(path.stem for path in notebooks), verdicts=verdicts or {})
    text = render(Path(root), config, page)
    with atomic_path(output) as partial:
        partial.write_text(text, encoding="utf-8")
    return output

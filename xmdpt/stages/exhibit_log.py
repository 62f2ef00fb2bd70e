"""The exhibits of a finished reproduction as a run of W&B: tables, and figures as pictures."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xmdpt.config import Config
from xmdpt.paper.exhibits import exhibit_folder, read_exhibits
from xmdpt.stages.tracking import Tracker, run_id, track

STAGE = "report"
OVERVIEW = "exhibits"
NOTEBOOKS = "reports/notebooks"


def exhibits_run(config: Config) -> str:
    """The id of the run that holds the exhibits of these settings."""
    return run_id(STAGE, config.profile, config.model_dump())


def key_of(exhibit: str, file: str) -> str:
    """Under which name a table or figure of an exhibit is logged."""
    return f"{exhibit}/{file}"


def _columns(path: Path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    return {name: [row[place] for row in rows] for place, name in enumerate(heading)}


def _overview(records: Sequence[dict[str, Any]], root: str | Path) -> dict[str, list[Any]]:
    """A line for each exhibit, with its first figure in a cell where it has one."""
    said = [Counter(claim["status"] for claim in record["claims"]) for record in records]
    pictures = [
        exhibit_folder(record["name"], root) / f"{record['figures'][0]}.png"
        if record["figures"]
        else None
        for record in records
    ]
    return {
        "exhibit": [record["title"] for record in records],
        "claims": [", ".join(f"{many} {one}" for one, many in counts.items()) for counts in said],
        "figure": pictures,
        "computed on": [record["provenance"] for record in records],
    }


def _log(tracker: Tracker, records: Sequence[dict[str, Any]], root: str | Path) -> None:
    tracker.table(OVERVIEW, _overview(records, root))
    for record in records:
        folder, name = exhibit_folder(record["name"], root), record["name"]
        for table in record["tables"]:
            tracker.table(key_of(name, table), _columns(folder / f"{table}.csv"))
        for figure in record["figures"]:
            tracker.image(key_of(name, figure), folder / f"{figure}.png", record["title"])
    if (notebooks := Path(root) / NOTEBOOKS).is_dir():
        tracker.folder("executed-notebooks", "notebooks", notebooks)
    statuses = Counter(claim["status"] for record in records for claim in record["claims"])
    tracker.summary({f"claims/{status}": count for status, count in statuses.items()})


def log_exhibits(config: Config, root: str | Path = ".") -> None:
    """Log what is in reports/exhibits below `root`; nothing where no exhibit is made yet."""
    if records := read_exhibits(root):
        with track(STAGE, config.profile, config.model_dump()) as tracker:
            _log(tracker, records, root)

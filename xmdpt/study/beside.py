"""The study's verdicts for the page of any run: each claim with what the run says beside it."""

import re
from pathlib import Path
from typing import Any

from xmdpt.config import Checkpoint, ConfigError
from xmdpt.paper.claims import Comparison, Side, beside, study_found
from xmdpt.paper.exhibits import Claim as Said
from xmdpt.paper.scores import Results
from xmdpt.study.design import Claim, load_design
from xmdpt.support.files import read_json

PAGE = Path("reports/reference/study")
VERDICTS = "verdicts.json"
"""The file in `PAGE` that `xmdpt study report` writes: what the page's table says, by claim."""


def exhibit_of(claim: Claim) -> str | None:
    """The exhibit that a claim belongs to: the first table or figure that its place names."""
    match = re.search(r"(Table|Figure) (\d+)(?:\((\w)\))?", claim.place)
    return match and f"{match[1].lower()}_{match[2]}{match[3] or ''}"


def _side(row: str, exhibit: str) -> Side:
    """The run and checkpoint that stands for a row of the study in an ordinary profile.

    There the ablations are read early, as in the paper, and the sizes early and late.
    """
    if row.endswith("_early"):
        return row.removesuffix("_early"), "ablation"
    late: Checkpoint = "ablation" if exhibit.startswith("table_2") else "main"
    return row, late


def read_verdicts(folder: Path = PAGE) -> dict[str, dict[str, Any]]:
    """Claim -> its line of the study's table."""
    path = folder / VERDICTS
    try:
        lines = read_json(path, "`xmdpt study report` writes it again")
        return {str(line["name"]): line for line in lines}
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `xmdpt study report` writes it") from None


def claims_of(exhibit: str, results: Results) -> tuple[Said, ...]:
    """The claims of an exhibit with the study's verdicts, and beside them the scores of `results`.

    The design and the verdicts are those below the folder of the settings.
    """
    design = load_design(results.root / "claims.yaml")
    verdicts = read_verdicts(results.root / PAGE)
    said = []
    for name, claim in design.claims.items():
        if exhibit_of(claim) != exhibit:
            continue
        line = verdicts[name]
        text = f"{claim.claim} ({claim.place})"
        found, live = study_found(line), ""
        if not {claim.better, claim.worse} & {*design.same_weights}:  # no run of their own
            sides = (_side(claim.better, exhibit), _side(claim.worse, exhibit))
            live = beside(Comparison(*sides, metric=claim.metric), results)
            found.append(f"this run: {live}")
        said.append(Said(text, line["status"], "; ".join(found), live))
    return tuple(said)

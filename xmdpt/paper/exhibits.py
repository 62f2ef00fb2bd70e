"""An exhibit: a table or a figure of the paper, made anew, with what it was computed on.

Each notebook of `notebooks/paper/` makes one and writes it with `write_exhibit`:
`reports/exhibits/<name>.json`, its tables as `reports/tables/<file>.csv` and `.md`, its figures as
`reports/figures/<file>.png`. The page to read and the README's table are made from these alone.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from xmdpt.files import atomic_path, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Status = Literal["supported", "not supported", "cannot tell", "not run"]

ORDER = (
    *("table_1", "table_2a", "table_2b", "table_2c", "table_2d", "table_2e", "table_2f"),
    *("table_3", "table_4", "table_5"),
    *("figure_1", "figure_2", "figure_3", "figure_5", "figure_6", "figure_7", "figure_8"),
    *("figure_9", "figure_11", "figure_14", "figure_15", "figure_16", "figure_19"),
)
"""The names of all exhibits, as the paper has them; some figures stand for several of its own."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what this run says about it."""

    text: str
    status: Status
    evidence: str
    """The numbers behind the status, with their intervals."""


@dataclass(frozen=True)
class Exhibit:
    """What one notebook of the paper made.

    Tables and figures go by the name of their files, without ending, which begins with the
    exhibit's own: `{"table_3": frame}`, `{"figure_6": figure, "figure_6_steps": other}`.
    """

    name: str
    title: str
    """As a heading: `Table 3. Efficiency`."""
    caption: str
    """What is seen, and how to read it."""
    provenance: str
    """Data, metrics, number of pairs and steps, machine: what our numbers were computed on."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in ORDER:
            raise ValueError(f"exhibit '{self.name}' is not one of ORDER")
        for stem in (*self.tables, *self.figures):
            if stem != self.name and not stem.startswith(f"{self.name}_"):
                raise ValueError(f"the file '{stem}' must begin with the exhibit's name")


def _write_table(frame: pd.DataFrame, stem: Path) -> None:
    with atomic_path(stem.with_suffix(".csv")) as partial:
        frame.to_csv(partial, index=False)
    with atomic_path(stem.with_suffix(".md")) as partial:
        text = frame.astype(object).where(frame.notna(), "")
        partial.write_text(text.to_markdown(index=False, disable_numparse=True) + "\n")


def write_exhibit(exhibit: Exhibit, root: str | Path = ".", dpi: int = 150) -> Path:
    """Write an exhibit below `root`/reports, each file whole or not at all; return its record.

    Cells of tables are written as they are: round numbers, or format them, before.
    """
    reports = Path(root) / "reports"
    for name, frame in exhibit.tables.items():
        _write_table(frame, reports / "tables" / name)
    for name, figure in exhibit.figures.items():
        with atomic_path(reports / "figures" / f"{name}.png") as partial:
            figure.savefig(partial, dpi=dpi, metadata={"Software": None})
    record = {key: getattr(exhibit, key) for key in ("name", "title", "caption", "provenance")}
    record |= {"tables": list(exhibit.tables), "figures": list(exhibit.figures)}
    record["claims"] = [asdict(claim) for claim in exhibit.claims]
    path = reports / "exhibits" / f"{exhibit.name}.json"
    write_json(path, record)
    return path


def read_exhibits(root: str | Path = ".") -> list[dict[str, Any]]:
    """The records below `root`/reports, in the paper's order."""
    folder = Path(root) / "reports" / "exhibits"
    found = [folder / f"{name}.json" for name in ORDER]
    return [json.loads(path.read_text()) for path in found if path.is_file()]

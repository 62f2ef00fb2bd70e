"""An exhibit: a table or a figure of the paper, made anew, with what it was computed on.

Each notebook of `notebooks/paper/` makes one and writes it with `write_exhibit`:
`reports/exhibits/<name>.json`, its tables as `reports/tables/<file>.csv` and `.md`, its figures as
`reports/figures/<file>.png`. The page to read and the README's table are made from these alone.
"""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from xmdpt.support.files import atomic_path, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150  # of figures on disk
Status = Literal["supported", "not supported", "cannot tell", "not run"]

HOW_TO_READ = (
    "“Supported” and “not supported” mean that the 95 % bootstrap interval of a difference, over "
    "test people, is clear of zero; of costs, that what was measured here, in one run, says so in"
    " every round; of Figure 5, that the paper's threshold is reached or not. “Cannot tell” is "
    "noise, or a comparison that is not fair, and the evidence says which. Every model was "
    "trained once, with one training seed: intervals over people do not know what another seed "
    "would give. And of a dozen claims that are all noise, one in four times some claim would "
    "seem supported: each interval is for its claim alone."
)
"""What the status of a claim means, wherever claims are listed."""

NOTEBOOK_OF = {
    "table_1": "table_1_main",
    **{f"table_2{part}": f"table_2_ablations-{part}" for part in "abcde"},
    "table_2f": "table_2f_speed",
    "table_3": "table_3_efficiency",
    "table_4": "table_4_configurations",
    "table_5": "table_5_training_time",
    "figure_1": "figure_1_efficiency",
    "figure_2": "figure_2_views",
    "figure_3": "figure_3_architecture",
    "figure_5": "figure_5_invariance",
    "figure_6": "figure_6_scaling",
    "figure_7": "figure_7_comparison",
    "figure_8": "figure_8_masking",
    "figure_9": "figure_9_strangers",
    "figure_14": "figure_14_failures",
    "figure_15": "figure_15_seeds",
    "figure_16": "figure_16_overlaps",
}
"""Exhibit, in the paper's order -> its notebook as executed; some stand for several figures."""


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
        if self.name not in NOTEBOOK_OF:
            raise ValueError(f"exhibit '{self.name}' is not one of NOTEBOOK_OF")
        for stem in (*self.tables, *self.figures):
            if stem != self.name and not stem.startswith(f"{self.name}_"):
                raise ValueError(f"the file '{stem}' must begin with the exhibit's name")

    def _repr_html_(self) -> str:
        """Its figures, for the notebook that made it."""
        pictures = [
            base64.b64encode(_png(figure, 100)).decode() for figure in self.figures.values()
        ]
        return "".join(
            f'<img alt="{self.title}" src="data:image/png;base64,{picture}">'
            for picture in pictures
        )


def _png(figure: "Figure", dpi: int) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def _write_table(frame: pd.DataFrame, stem: Path) -> None:
    with atomic_path(stem.with_suffix(".csv")) as partial:
        frame.to_csv(partial, index=False)
    with atomic_path(stem.with_suffix(".md")) as partial:
        text = frame.astype(object).where(frame.notna(), "")
        partial.write_text(
            text.to_markdown(index=False, disable_numparse=True) + "\n", encoding="utf-8"
        )


def write_exhibit(exhibit: Exhibit, root: str | Path = ".") -> Exhibit:
    """Write an exhibit below `root`/reports, each file whole or not at all; return it, to be seen.

    Cells of tables are written as they are: round numbers, or format them, before.
    """
    reports = Path(root) / "reports"
    for name, frame in exhibit.tables.items():
        _write_table(frame, reports / "tables" / name)
    for name, figure in exhibit.figures.items():
        with atomic_path(reports / "figures" / f"{name}.png") as partial:
            partial.write_bytes(_png(figure, DPI))
    record = {key: getattr(exhibit, key) for key in ("name", "title", "caption", "provenance")}
    record |= {"tables": list(exhibit.tables), "figures": list(exhibit.figures)}
    record["claims"] = [asdict(claim) for claim in exhibit.claims]
    write_json(reports / "exhibits" / f"{exhibit.name}.json", record)
    return exhibit


def read_exhibits(root: str | Path = ".") -> list[dict[str, Any]]:
    """The records below `root`/reports, in the paper's order."""
    folder = Path(root) / "reports" / "exhibits"
    found = [folder / f"{name}.json" for name in NOTEBOOK_OF]
    return [json.loads(path.read_text()) for path in found if path.is_file()]

"""An exhibit: a table or a figure of the paper, made anew, with what it was computed on.

Each notebook of `notebooks/paper/` makes one and writes it with `write_exhibit` to
`reports/exhibits/<name>/`: the record `exhibit.json`, tables as `.csv` and `.md`, figures as
`.png`, and in `sheet.png` single pictures to compare. The report page and the table of results are
made from these folders alone.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from PIL import Image

from xmdpt.support.files import fingerprint, read_json, resumable_dir, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150  # of figures on disk
Status = Literal[
    "supported", "not supported", "no difference", "cannot tell", "under way", "not run"
]  # fmt: skip
DECIDED: tuple[Status, ...] = ("supported", "not supported", "no difference")

HOW_TO_READ = (
    "Claims that compare two designs are judged by the study (docs/results/study.md): each row "
    "trained from scratch in a small world with several seeds, the verdict over seeds and people. "
    "This run trained each model once, and its scores stand beside: its intervals are over "
    "people, and do not know what another seed would give. Of costs, “supported” means that what "
    "was measured here, in one run, says so in every round; of Figure 5, that the paper's "
    "threshold is reached; of Figure 2, that the 95 % interval over people is clear of zero."
)
"""What the status of a claim means, wherever claims are listed."""
HOW_TO_READ_GAINS = (
    "What each claim's better row gains, in per cent of the gap between X-MDPT-B and a perfect "
    "score, with 95 % intervals over seeds and people. Grey: the margin. Diamonds: the paper's "
    "differences. Triangles: beyond the axis."
)
"""The caption of the study's picture, wherever it is shown."""

EXHIBITS = (
    *("table_1", "table_2a", "table_2b", "table_2c", "table_2d", "table_2e", "table_2f"),
    *("table_3", "table_4", "table_5", "figure_1", "figure_2", "figure_3", "figure_5"),
    *("figure_6", "figure_7", "figure_8", "figure_9", "figure_14", "figure_15", "figure_16"),
)
"""All exhibits, in the paper's order; some stand for several figures."""
RECORD = "exhibit.json"
SHEET = "sheet.png"


def exhibit_folder(name: str, root: str | Path = ".") -> Path:
    """Where the exhibit `name` lies below `root`, made or not."""
    return Path(root) / "reports/exhibits" / name


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, what is decided about it, and by what."""

    text: str
    status: Status
    evidence: str
    """The numbers behind the status, with their intervals."""
    live: str | None = None
    """This run's part of them, where the status is the study's; None where the run decides."""


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
    sheet: Mapping[str, Sequence[np.ndarray | None]] = field(default_factory=dict)
    """Rows of pictures of the same pairs, uint8 (S, S, 3) or None: the page lays two of them over
    each other."""

    def __post_init__(self) -> None:
        if self.name not in EXHIBITS:
            raise ValueError(f"exhibit '{self.name}' is not one of EXHIBITS")
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
    frame.to_csv(stem.with_suffix(".csv"), index=False)
    text = frame.astype(object).where(frame.notna(), "")
    markdown = text.to_markdown(index=False, disable_numparse=True) + "\n"
    stem.with_suffix(".md").write_text(markdown, encoding="utf-8")


def _write_sheet(rows: Mapping[str, Sequence[np.ndarray | None]], path: Path) -> None:
    """All pictures in one, without margins; an absent one is white."""
    size = max(len(one) for row in rows.values() for one in row if one is not None)
    width = max(map(len, rows.values()))
    sheet = np.full((len(rows), size, width, size, 3), 255, np.uint8)
    for line, pictures in zip(sheet, rows.values(), strict=True):
        for column, picture in enumerate(pictures):
            if picture is not None:
                line[:, column] = picture
    Image.fromarray(sheet.reshape(len(rows) * size, width * size, 3)).save(path)


def read_sheet(record: Mapping[str, Any], root: str | Path = ".") -> dict[str, list[Image.Image]]:
    """The rows of pictures of the exhibit with this record; empty where it has none."""
    labels: list[str] = record.get("sheet", [])
    if not labels:
        return {}
    with Image.open(exhibit_folder(record["name"], root) / SHEET) as sheet:
        sheet.load()
    size = sheet.height // len(labels)
    return {
        label: [
            sheet.crop((left, row * size, left + size, (row + 1) * size))
            for left in range(0, sheet.width, size)
        ]
        for row, label in enumerate(labels)
    }


def write_exhibit(exhibit: Exhibit, root: str | Path = ".") -> Exhibit:
    """Make the folder of an exhibit below `root` anew, whole or not at all; return the exhibit.

    Cells of tables are written as they are: round or format numbers before.
    """
    record = {key: getattr(exhibit, key) for key in ("name", "title", "caption", "provenance")}
    record |= {"tables": list(exhibit.tables), "figures": list(exhibit.figures)}
    record["claims"] = [asdict(claim) for claim in exhibit.claims]
    drawn = any(one is not None for row in exhibit.sheet.values() for one in row)
    record["sheet"] = list(exhibit.sheet) if drawn else []
    with resumable_dir(exhibit_folder(exhibit.name, root), fingerprint(record)) as folder:
        for name, frame in exhibit.tables.items():
            _write_table(frame, folder / name)
        for name, figure in exhibit.figures.items():
            (folder / f"{name}.png").write_bytes(_png(figure, DPI))
        if record["sheet"]:
            _write_sheet(exhibit.sheet, folder / SHEET)
        write_json(folder / RECORD, record)
    return exhibit


def read_exhibits(root: str | Path = ".") -> list[dict[str, Any]]:
    """The records below `root`, in the paper's order."""
    records = [exhibit_folder(name, root) / RECORD for name in EXHIBITS]
    cure = "run the stage that makes this exhibit again"
    return [read_json(path, cure) for path in records if path.is_file()]

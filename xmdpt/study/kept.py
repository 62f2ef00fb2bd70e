"""What is kept of the study's runs, for notebooks: verdicts, pictures and training curves."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from xmdpt.metrics.labels import COPY
from xmdpt.study.beside import PAGE, exhibit_of, read_verdicts
from xmdpt.study.design import load_design


def verdict_table(exhibit: str, root: str | Path = ".") -> pd.DataFrame:
    """The study's verdicts on the claims of an exhibit, a claim a row."""
    claims = load_design(Path(root) / "claims.yaml").claims
    verdicts = read_verdicts(Path(root) / PAGE)
    lines = [verdicts[name] for name, claim in claims.items() if exhibit_of(claim) == exhibit]
    columns = ["claim", "paper", "judged by", "better, worse", "gain", "verdict"]
    return pd.DataFrame(lines, columns=columns).set_index("claim")


def _first(row: str, kind: str, root: str | Path) -> Path | None:
    """A row's file of a kind, of its first seed; None where no run is finished."""
    found = sorted((Path(root) / PAGE / "runs").glob(f"{row}-*.{kind}"))
    return found[0] if found else None


def drawn_by(rows: Iterable[str], root: str | Path = ".") -> dict[str, list[np.ndarray]]:
    """What finished rows drew of the same test pairs, uint8 (S, S, 3), with source and truth."""
    names = {"source": COPY, **{row: row for row in rows}, "truth": "truth"}
    sheets = {label: _first(row, "jpg", root) for label, row in names.items()}
    pictures = {label: np.asarray(Image.open(path)) for label, path in sheets.items() if path}
    return {
        label: np.split(sheet, sheet.shape[1] // sheet.shape[0], axis=1)
        for label, sheet in pictures.items()
    }


def losses_of(
    rows: Iterable[str], column: str = "mse", root: str | Path = "."
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Training steps and a loss at each, by row, for the rows that are finished and have it."""
    lines = {}
    for row in rows:
        if (path := _first(row, "tsv", root)) is not None:
            history = pd.read_csv(path, sep="\t")
            if column in history:
                lines[row] = (history["step"].to_numpy(), history[column].to_numpy())
    return lines

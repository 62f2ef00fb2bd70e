"""The repository's own files."""

from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))  # but not Jupyter's checkpoints


PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def code_of(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    lines = "\n".join(cell.source for cell in cells if cell.cell_type == "code").splitlines()
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)

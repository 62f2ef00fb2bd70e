"""The walkthroughs as pages: their words of today, and what their cells showed when executed.

    python docs/site/walkthroughs.py [NAME ...]

executes the notebooks of notebooks/walkthrough/ (minutes) and keeps what they show in
docs/understand/walkthrough/NAME/. A test says which of them have changed since.
"""

import base64
import hashlib
import io
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from xmdpt.stages.notebook import has_tag

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks/walkthrough").glob("*.ipynb"))
KEPT = ROOT / "docs/understand/walkthrough"


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """What the kept outputs depend on: the source of all code cells."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def _shown(output: dict[str, Any], picture: Path) -> str:
    """An output as Markdown, its picture written to `picture`; empty where it shows nothing."""
    if output["output_type"] == "stream":
        said = output["text"].rstrip() if output["name"] == "stdout" else ""
        return f"```text\n{said}\n```" if said else ""
    data = output.get("data", {})
    if "image/png" in data:
        raw = io.BytesIO(base64.b64decode(data["image/png"]))
        Image.open(raw).convert("RGB").save(picture, quality=85)
        return f"![what the cell draws]({picture.parent.name}/{picture.name})"
    if "text/html" in data:
        return re.sub(r"<style.*?</style>\s*|^ +", "", data["text/html"], flags=re.S | re.M)
    hidden = "application/vnd.jupyter.widget-view+json" in data
    return "" if hidden or "text/plain" not in data else f"```text\n{data['text/plain']}\n```"


def keep(path: Path) -> None:
    """Execute a notebook and keep what its code cells show."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(ROOT)}}).execute()
    folder = KEPT / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    cells = []
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        shown = (
            _shown(output, folder / f"{number:02}_{place}.webp")
            for place, output in enumerate(cell.outputs)
        )
        cells.append([text for text in shown if text])
    kept = {"code": code_digest(notebook), "cells": cells}
    (folder / "outputs.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def read_kept(path: Path) -> dict[str, Any]:
    """What is kept of a notebook: the digest of its code, and what each code cell showed."""
    kept = KEPT / path.stem / "outputs.json"
    if not kept.is_file():
        return {"code": None, "cells": []}
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _folded(source: str, shown: list[str]) -> str:
    """A solution that a click opens, under the exercise that its first line names."""
    title = re.match(r"# (Exercise \d+)", source)
    assert title, f"a solution begins with `# Exercise N: ...`, not with {source[:40]!r}"
    return f'??? success "Solution of {title[1].lower()}"\n\n' + textwrap.indent(
        "\n\n".join(shown), "    "
    )


def page(path: Path) -> str:
    """The notebook as Markdown, with what its cells showed."""
    outputs = iter(read_kept(path)["cells"])
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            shown = [f"```python\n{cell.source}\n```", *next(outputs, [])]
            parts += [_folded(cell.source, shown)] if has_tag(cell, "solution") else shown
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for notebook in NOTEBOOKS:
        if notebook.stem in (sys.argv[1:] or [notebook.stem]):
            keep(notebook)
            print(f"kept {notebook.stem}", flush=True)

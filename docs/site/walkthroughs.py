"""The walkthroughs as pages: their words of today, and what their cells showed when executed.

    python docs/site/walkthroughs.py [NAME ...]

executes those notebooks of notebooks/walkthrough/ that are named, or whose code has changed
(minutes), keeps what they show in docs/understand/walkthrough/NAME/, and writes the page of each
notebook, NAME.md, beside it. A test says which pages are not those of today.
"""

import base64
import hashlib
import io
import json
import re
import sys
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
    """Execute a notebook, keep what its code cells show, and write its page."""
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
    write_page(path)


def read_kept(path: Path) -> dict[str, Any]:
    """What is kept of a notebook: the digest of its code, and what each code cell showed."""
    kept = KEPT / path.stem / "outputs.json"
    if not kept.is_file():
        return {"code": None, "cells": []}
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def is_of_today(path: Path) -> bool:
    """Whether what is kept of a notebook comes from the code that it has now."""
    return bool(read_kept(path)["code"] == code_digest(nbformat.read(path, as_version=4)))


def _folded(source: str, shown: list[str]) -> str:
    """A solution that a click opens, on GitHub and on the site, named by its first line."""
    title = re.match(r"# (Exercise \d+)", source)
    assert title, f"a solution begins with `# Exercise N: ...`, not with {source[:40]!r}"
    summary = f"<summary>Solution of {title[1].lower()}</summary>"
    # `markdown` is for the site; both need the blank lines.
    return "\n\n".join([f'<details class="success" markdown>\n{summary}', *shown, "</details>"])


def page(path: Path) -> str:
    """The notebook as Markdown, with what its cells showed."""
    outputs = iter(read_kept(path)["cells"])
    first, *cells = nbformat.read(path, as_version=4).cells
    title, _, rest = first.source.partition("\n\n")
    place = path.relative_to(ROOT).as_posix()
    about = f"*[`{place}`](../../../{place}), executed. [All notebooks](../notebooks.md).*"
    parts = [title, about, rest]
    for cell in cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            shown = [f"```python\n{cell.source}\n```", *next(outputs, [])]
            parts += [_folded(cell.source, shown)] if has_tag(cell, "solution") else shown
    return "\n\n".join(parts) + "\n"


def page_path(path: Path) -> Path:
    return KEPT / f"{path.stem}.md"


def write_page(path: Path) -> None:
    page_path(path).write_text(page(path), encoding="utf-8")


if __name__ == "__main__":
    known = [path.stem for path in NOTEBOOKS]
    if unknown := [name for name in sys.argv[1:] if name not in known]:
        sys.exit(f"{', '.join(unknown)}: no walkthrough; they are {', '.join(known)}")
    for notebook in NOTEBOOKS:
        if notebook.stem in sys.argv[1:] or not is_of_today(notebook):
            keep(notebook)
            print(f"executed {notebook.stem}", flush=True)
        else:  # words may have changed
            write_page(notebook)

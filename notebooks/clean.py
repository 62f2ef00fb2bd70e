"""Check that notebooks are clean sources: without outputs, counts and metadata other than tags.

    python notebooks/clean.py [--write] NOTEBOOK...

With --write they are made clean instead.
"""

import json
import sys
from pathlib import Path
from typing import Any

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def make_clean(notebook: dict[str, Any]) -> None:
    """Take outputs, counts and metadata, but for tags, out of a notebook, in place."""
    notebook["metadata"] = {"kernelspec": KERNEL}
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


def clean(text: str) -> str:
    """The notebook `text` as a clean source."""
    notebook = json.loads(text)
    make_clean(notebook)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(words: list[str]) -> int:
    write = "--write" in words
    dirty = []
    for path in (Path(word) for word in words if word != "--write"):
        text = path.read_text(encoding="utf-8")
        if (cleaned := clean(text)) != text:
            dirty.append(path)
            if write:
                path.write_text(cleaned, encoding="utf-8")
    for path in dirty:
        print(f"{path}: {'cleaned' if write else 'not clean; --write takes outputs out'}")
    return int(bool(dirty) and not write)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

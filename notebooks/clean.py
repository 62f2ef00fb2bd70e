"""Check that notebooks are clean sources: without outputs, counts and metadata other than tags."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from xmdpt.support.files import atomic_path

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def make_clean(notebook: dict[str, Any]) -> None:
    """Take outputs, counts and metadata, but for tags, out of a notebook; solutions stay hidden."""
    notebook["metadata"] = {"kernelspec": KERNEL}
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if "solution" in (tags or []):  # Lab folds it away
            cell["metadata"]["jupyter"] = {"source_hidden": True}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


def clean(text: str) -> str:
    """The notebook `text` as a clean source."""
    notebook = json.loads(text)
    make_clean(notebook)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def check(path: Path, write: bool) -> str | None:
    """What is wrong with the notebook in `path`; with `write` it is made clean, whole or not."""
    try:
        content = path.read_bytes()
        cleaned = clean(content.decode()).encode()
    except OSError as error:
        return error.strerror
    except (ValueError, TypeError, KeyError, AttributeError):
        return "not a notebook of nbformat 4"
    if cleaned == content:
        return None
    if not write:
        return "not clean; --write takes outputs out"
    with atomic_path(path) as partial:
        partial.write_bytes(cleaned)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make them clean")
    parser.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args()
    found = {path: check(path, options.write) for path in options.notebooks}
    for path, problem in found.items():
        if problem is not None:
            print(f"{path}: {problem}", file=sys.stderr)
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())

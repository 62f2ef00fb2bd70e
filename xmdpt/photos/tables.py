"""Which pictures to draw: every person in every pose, or the lines of a table."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xmdpt.data.pairs import SUFFIXES
from xmdpt.photos import joints, marking
from xmdpt.photos.loading import PhotoError
from xmdpt.support.files import decode_text

SHEET = "sheet.jpg"
"""The sheet of all pictures, which lies beside them."""


class Line(BaseModel):
    """A picture to draw: a line of a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: Path
    pose: Path
    out: str = Field(default="", pattern=r"^[^/\\]*$")
    """The picture's name in the folder of results; by default made of the two files' names."""
    seed: int | None = Field(default=None, ge=0, le=2**32)

    @property
    def name(self) -> str:
        return self.out or f"{self.source.stem}_{self.pose.stem}.png"


def files_in(paths: Sequence[Path], poses: bool = False) -> list[Path]:
    """Each path, and in place of a folder the pictures in it, with `poses` key points too.

    Files of a folder are sorted by name, and numbers in names by their size.
    Raises PhotoError for a folder without any.
    """
    endings = (*SUFFIXES, *(joints.SUFFIXES if poses else ()))
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [one for one in path.glob("[!.]*") if one.suffix.lower() in endings]
        if not inside:
            raise PhotoError(f"{path}: holds no {', '.join(endings)}")
        found += sorted(inside, key=_by_number)
    return found


def _by_number(path: Path) -> tuple[list[str | int], str]:
    """A key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name


def every_pair(sources: Sequence[Path], poses: Sequence[Path]) -> list[Line]:
    """Every person in every pose; raises PhotoError where two pictures would have one name."""
    return _checked([Line(source=source, pose=pose) for source in sources for pose in poses])


def read_table(path: Path) -> list[Line]:
    """The lines of a CSV file with a heading, or of a JSON list of objects.

    Fields: source and pose, relative to the table, and if wanted out and seed. Raises PhotoError,
    which names line and field.
    """
    try:
        text = decode_text(path.read_bytes())
        rows = json.loads(text) if path.suffix.lower() == ".json" else _csv_rows(text)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError('write a list such as [{"source": "a.jpg", "pose": "b.json"}]')
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{path}: not a table of pictures: {reason}") from None
    return _checked([_line(row, number, path) for number, row in enumerate(rows, 1)], path)


def _csv_rows(text: str) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    # An empty cell is a default. Cells beyond the heading have none, and no field takes them.
    return [{str(name): cell for name, cell in row.items() if cell} for row in rows]


def _line(row: dict[str, Any], number: int, table: Path) -> Line:
    try:
        line = Line.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        known = ", ".join(Line.model_fields)
        reason = f"is not one of {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise PhotoError(f"{table}: picture {number}: {field}: {reason}") from None
    here = {name: table.parent / getattr(line, name) for name in ("source", "pose")}
    return line.model_copy(update=here)


def gif_names(lines: Sequence[Line]) -> dict[Path, str]:
    """The name of each person's animation; raises PhotoError where two would have one name."""
    people: dict[str, Path] = {}
    for person in (line.source for line in lines):
        name = f"{person.stem}.gif"
        if (other := people.setdefault(name.lower(), person)) != person:
            raise PhotoError(
                f"{name} would be written twice, of {other} and of {person}; rename a file, or "
                "leave the animations out"
            )
    return {person: f"{person.stem}.gif" for person in people.values()}


def _checked(lines: list[Line], table: Path | None = None) -> list[Line]:
    """The same lines; raises PhotoError where there are none, or two write one picture."""
    before = f"{table}: " if table else ""
    if not lines:
        raise PhotoError(f"{before}no picture to draw")
    names: dict[str, Line] = {}
    for line in lines:
        if Path(line.name).suffix.lower() not in marking.SUFFIXES:
            wanted = ", ".join(marking.SUFFIXES)
            raise PhotoError(f"{before}out '{line.name}': pictures are written as {wanted}")
        if line.name.lower() == SHEET:
            raise PhotoError(f"{before}out '{line.name}': is the sheet's name; choose another")
        other = names.setdefault(line.name.lower(), line)  # one file where case does not count
        if other is not line:
            raise PhotoError(
                f"{before}{line.name} would be written twice, of {other.source} as {other.pose} "
                f"and of {line.source} as {line.pose}; rename a file, or name it in a table's "
                "column out"
            )
    return lines

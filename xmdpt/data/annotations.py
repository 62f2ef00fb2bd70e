"""Annotations of pictures: lists, pairs and key points, in the formats that the field uses.

    train.lst                          one picture per line
    train_pairs.txt                    TARGET,SOURCE[,SOURCE2...] per line (NTED, PIDM, X-MDPT)
    fasion-resize-pairs-train.csv      columns from,to (PATN, CFLD; also spelled "fashion")
    pose/**.txt                        18 rows "x y [score]" in the padded frame (NTED)
    fasion-resize-annotation-train.csv name:keypoints_y:keypoints_x in the 256x176 picture (PATN)

Files may lie in the root of a data set or in the folders directly below it. Names are returned in
canonical form, key points in the padded frame (see `xmdpt.data.keypoints`).
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from xmdpt.data.keypoints import FRAME_HEIGHT, FRAME_WIDTH, JOINTS, mark_missing, to_padded
from xmdpt.data.pairs import SUFFIXES, canonical
from xmdpt.data.stores import DataError
from xmdpt.support.files import decode_text

Split = Literal["train", "test"]
Pair = tuple[str, str]
"""(source, target) names."""
Target = tuple[str, tuple[str, ...]]
"""A target and the sources on its line of a pairs file."""
Frame = tuple[int, int] | Literal["padded"] | None
"""What coordinates refer to: a picture of (H, W), the padded frame, or None: as stored."""
SizeOf = Callable[[str], tuple[int, int]]
"""Gives (H, W) of a stored picture by its name."""
SPLITS: tuple[Split, Split] = ("train", "test")
KEYPOINT_CSV = r".*(annotation|keypoints).*\.csv"
COLUMNS = ["name", "keypoints_y", "keypoints_x"]


def _files(root: Path, pattern: str) -> list[Path]:
    """Matching files in `root`, then in its direct subfolders; hidden ones are excluded."""
    shown = "[!.]*"
    globs = (f"{shown}.[lct][sx]*", f"{shown}/{shown}.[lct][sx]*")
    found = [path for glob in globs for path in sorted(root.glob(glob))]
    return [path for path in found if re.fullmatch(pattern, path.name) and path.is_file()]


def _lines(path: Path) -> list[tuple[int, str]]:
    """(number, text) of each line of a text file that is not empty."""
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    stripped = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in stripped if line]


# Lists


def list_file(root: Path, split: Split) -> Path | None:
    """The file that lists the pictures of a split, if any."""
    return next(iter(_files(root, rf"{split}\.lst")), None)


def read_list(path: Path) -> list[str]:
    """Names of pictures, one per line."""
    return [canonical(line) for _, line in _lines(path)]


# Pairs


def pair_files(root: Path, split: Split) -> list[Path]:
    """The files that hold the pairs of a split; the first is the one to use.

    The paper's code reads the text file; of PATN's tables, the one with `resize` is published.
    """
    found = _files(
        root, rf"{split}_pairs\.txt|(.*[-_])?pairs[-_]{split}\.csv|{split}[-_]pairs\.csv"
    )
    return sorted(found, key=lambda path: (path.suffix != ".txt", "resize" not in path.name))


def pairs_of(targets: list[Target]) -> list[Pair]:
    """(source, target) names: each source of a target makes a pair."""
    return [(source, target) for target, sources in targets for source in sources]


def read_pairs(path: Path) -> list[Pair]:
    """(source, target) names of all pairs in a file that `read_targets` reads."""
    return pairs_of(read_targets(path))


def read_targets(path: Path) -> list[Target]:
    """(target, sources) of each line of a text file (the target first) or a from,to table."""
    return _targets_of_table(path) if path.suffix == ".csv" else _targets_of_text(path)


def _targets_of_text(path: Path) -> list[Target]:
    targets = []
    lines = _lines(path)
    _refuse_heading(path, lines)
    for number, line in lines:
        target, *sources = [canonical(name.strip()) for name in line.split(",") if name.strip()]
        if not sources:
            raise DataError(
                f"{path}: line {number} names no source: '{line}'; write TARGET,SOURCE[,SOURCE2...]"
            )
        targets.append((target, tuple(sources)))
    return targets


def _refuse_heading(path: Path, lines: list[tuple[int, str]]) -> None:
    """Raise DataError if the first line names no picture files, and the next one does."""
    named = [
        any(name.strip().lower().endswith(SUFFIXES) for name in line.split(","))
        for _, line in lines[:2]
    ]
    if named == [False, True]:
        number, line = lines[0]
        raise DataError(
            f"{path}: line {number} is '{line}', which names no pictures as line {lines[1][0]} "
            f"does, '{lines[1][1]}'; if it is a heading, remove it"
        )


def _targets_of_table(path: Path) -> list[Target]:
    rows = csv.reader((line for _, line in _lines(path)), skipinitialspace=True)
    header = next(rows, [])
    if not {"from", "to"} <= set(header):
        raise DataError(f"{path}: the first line is '{','.join(header)}'; it must be 'from,to'")
    source, target = header.index("from"), header.index("to")
    targets: list[Target] = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or not (row[source] and row[target]):
            raise DataError(f"{path}: row {number} is '{','.join(row)}'; it must name from and to")
        targets.append((canonical(row[target]), (canonical(row[source]),)))
    return targets


# Key points


class PoseFolder:
    """Text files, one per picture: 18 rows "x y [score]" in the padded frame."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __str__(self) -> str:
        return f"text files in {self.folder}"

    def names(self) -> list[str]:
        """The files that are there."""
        paths = self.folder.rglob("*.txt")  # in the file system's order
        return sorted(path.relative_to(self.folder).as_posix() for path in paths)

    def path(self, name: str) -> Path:
        """The key point file of a picture."""
        return self.folder / Path(name.removeprefix("img/")).with_suffix(".txt")

    def __contains__(self, name: str) -> bool:
        return self.path(name).is_file()

    def read(self, name: str) -> np.ndarray:
        """(18, 2) x, y in the padded frame."""
        path = self.path(name)
        try:
            keypoints = np.loadtxt(path, ndmin=2)
        except FileNotFoundError:
            raise DataError(f"{path}: no such key point file") from None
        except ValueError as error:
            raise DataError(f"{path}: not a key point file ({error})") from None
        if len(keypoints) != len(JOINTS) or keypoints.shape[1] not in (2, 3):
            raise DataError(f"{path}: needs 18 rows of x y [score], has shape {keypoints.shape}")
        scores = keypoints[:, 2] if keypoints.shape[1] == 3 else None
        try:
            return mark_missing(keypoints[:, :2], scores)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None


class KeypointTable:
    """Key points (18, 2) by picture name, each with its coordinate frame."""

    def __init__(self, rows: dict[str, tuple[np.ndarray, Frame]], size_of: SizeOf, label: str):
        self.rows = rows
        self.size_of = size_of
        self.label = label

    def __str__(self) -> str:
        return self.label

    def names(self) -> list[str]:
        """The pictures that are there."""
        return list(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def read(self, name: str) -> np.ndarray:
        """(18, 2) x, y in the padded frame."""
        if name not in self.rows:
            raise DataError(f"{self.label}: no key points of {name}")
        keypoints, frame = self.rows[name]
        if frame == "padded":
            return keypoints
        return to_padded(keypoints, self.size_of(name) if frame is None else frame)


Keypoints = PoseFolder | KeypointTable


def table_frame(path: Path) -> Frame:
    """The coordinate frame of a key point table, known by the field's file names.

    PATN's `fasion-resize-annotation-*` holds pixels of 256x176 (height x width),
    `fasion-annotation-*` of the 256x256 padded frame, `market-annotation-*` of 128x64; any other
    table holds pixels of the stored pictures.
    """
    if re.match(r"fash?ion-resize-annotation", path.name):
        return (FRAME_HEIGHT, FRAME_WIDTH)
    if re.match(r"fash?ion-annotation", path.name):
        return "padded"
    return (128, 64) if path.name.startswith("market-annotation") else None


def _joint_row(text: str) -> list[float]:
    values = json.loads(text)
    if not isinstance(values, list) or len(values) != len(JOINTS):
        count = len(values) if isinstance(values, list) else 1
        raise ValueError(f"has {count} joints, not 18")
    return [float(value) for value in values]


def read_keypoint_table(path: Path) -> dict[str, np.ndarray]:
    """Name -> (18, 2) x, y, from lines `name: [y, ...]: [x, ...]` (y first)."""
    lines = _lines(path)
    header = [column.strip() for column in lines[0][1].split(":")] if lines else []
    if header != COLUMNS:
        raise DataError(f"{path}: the first line must be '{':'.join(COLUMNS)}'")
    rows: dict[str, np.ndarray] = {}
    for number, line in lines[1:]:
        try:
            name, ys, xs = line.rsplit(":", 2)
            points = mark_missing(np.array([_joint_row(xs), _joint_row(ys)]).T)
        except (ValueError, TypeError, OverflowError) as error:
            reason = str(error) if "joints" in str(error) else "write name: [y, ...]: [x, ...]"
            raise DataError(f"{path}: line {number}: {reason}") from None
        name = canonical(name.strip())
        if not np.array_equal(rows.setdefault(name, points), points):
            raise DataError(
                f"{path}: line {number}: {name} has other joints in a line above; keep one of them"
            )
    return rows


def open_keypoints(root: Path, size_of: SizeOf) -> Keypoints | None:
    """The key points below `root`: text files, else all tables together, else None."""
    for folder in (root / "pose", *sorted(root.glob("*/pose"))):
        if folder.is_dir():
            return PoseFolder(folder)
    files = _files(root, KEYPOINT_CSV)
    rows: dict[str, tuple[np.ndarray, Frame]] = {}
    for path in sorted(files, key=lambda path: "resize" in path.name):  # the last wins
        frame = table_frame(path)
        rows |= {name: (points, frame) for name, points in read_keypoint_table(path).items()}
    label = ", ".join(str(path) for path in files)
    return KeypointTable(rows, size_of, label) if files else None

"""Folders of results and references: finding, pairing by name, reading."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xmdpt.data.pairs import mangle, parse_result_name

T = TypeVar("T")
SUFFIXES = {".png", ".jpg", ".jpeg"}
SCHEME = "<source>_2_<target>_vis.png, where a name is fashionWOMENDressesid0000713204_4full"


@dataclass(frozen=True)
class Match:
    """One result, the picture it should equal, and the mangled names of its pair."""

    result: Path
    reference: Path
    source: str
    target: str

    @property
    def person(self) -> str:
        """Who is shown: the target's name up to its item number, or all of it."""
        found = re.match(r"fashion.+?id\d{8}", self.target)
        return found[0] if found else self.target


def find_pictures(folder: str | Path) -> list[Path]:
    """Return the PNG and JPEG files below `folder`, sorted; hidden files and folders are left out.

    Raises FileNotFoundError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def training_pictures(train_dir: str | Path) -> list[Path]:
    """Return the pictures that `train_dir/train.lst` lists, or all below a folder without one."""
    listing = Path(train_dir) / "train.lst"
    if not listing.is_file():
        pictures = find_pictures(train_dir)
    else:
        lines = listing.read_text().split("\n")
        pictures = sorted(listing.parent / line.strip() for line in lines if line.strip())
    if not pictures:
        raise ValueError(f"{train_dir}: no pictures")
    return pictures


def index_pictures(folder: str | Path) -> dict[str, list[Path]]:
    """Map the mangled name of each picture below `folder` to its files; one, if all is well."""
    index: dict[str, list[Path]] = defaultdict(list)
    for path in find_pictures(folder):
        index[mangle(path)].append(path)
    return dict(index)


def _complain(names: Sequence[str], what: str) -> None:
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        warnings.warn(f"{len(names)} {what}: {shown}", stacklevel=4)


def match_results(generated_dir: str | Path, reference_dir: str | Path) -> list[Match]:
    """Pair every result with its reference, sorted by target, then source.

    Results whose names cannot be read, or whose reference is missing, are left out with a warning
    that counts them. Raises ValueError where nothing matches, or a reference is there twice.
    """
    index = index_pictures(reference_dir)
    matches, unread, missing = [], [], []
    for path in find_pictures(generated_dir):
        try:
            source, target = parse_result_name(path.name)
        except ValueError:
            unread.append(path.name)
            continue
        files = index.get(target, [])
        if len(files) > 1:
            raise ValueError(f"{target} is two pictures: {files[0]} and {files[1]}")
        if files:
            matches.append(Match(path, files[0], source, target))
        else:
            missing.append(path.name)
    if not matches:
        raise ValueError(
            f"no picture in {generated_dir} has its reference in {reference_dir} "
            f"({len(unread) + len(missing)} results, {len(index)} references); results are named "
            f"{SCHEME}"
        )
    _complain(unread, f"pictures in {generated_dir} are not named {SCHEME}")
    _complain(missing, f"results have no reference in {reference_dir}")
    return sorted(matches, key=lambda match: (match.target, match.source, match.result.name))


def batches(items: Sequence[T], size: int, drop_last: bool = False) -> Iterator[Sequence[T]]:
    """Yield runs of `size` items; with `drop_last` a shorter last one is left out, unless first."""
    size = min(size, len(items)) or 1
    end = len(items) // size * size if drop_last else len(items)
    for start in range(0, end, size):
        yield items[start : start + size]

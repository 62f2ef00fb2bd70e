"""Folders of results and references: finding, pairing by name, reading."""

import re
import tempfile
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xmdpt.data.annotations import list_file, pair_files, read_list, read_pairs
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.index import INDEX
from xmdpt.data.pairs import mangle, parse_result_name
from xmdpt.data.stores import FolderStore, find_files, lmdb_folders

T = TypeVar("T")
Pair = tuple[str, str]
"""(source, target), mangled names."""
SUFFIXES = {".png", ".jpg", ".jpeg"}
SCHEME = "<source>_2_<target>_vis.png, where a name is fashionWOMENDressesid0000713204_4full"


class EvaluationWarning(UserWarning):
    """Something that a reader of the numbers must know."""


@dataclass(frozen=True)
class Match:
    """One result, the picture it should equal, and the mangled names of its pair."""

    result: Path
    reference: Path
    source: str
    target: str

    @property
    def pair(self) -> Pair:
        return self.source, self.target

    @property
    def person(self) -> str:
        """Who is shown: the target's name up to its item number, or all of it."""
        found = re.match(r"fashion.+?id\d{8}", self.target)
        return found[0] if found else self.target


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return folder


def find_pictures(folder: str | Path) -> list[Path]:
    """Return the PNG and JPEG files below `folder`, sorted; hidden files and folders are left out.

    Raises DataError if there is no such folder.
    """
    folder = _existing(folder)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


@contextmanager
def as_files(folder: str | Path) -> Iterator[Path]:
    """Yield a folder with pictures as files: `folder`, or what an LMDB or index in it holds."""
    folder = _existing(folder)
    if not (folder / INDEX).is_file() and (
        not lmdb_folders(folder) or next(find_files(folder), None)
    ):
        yield folder
        return
    with tempfile.TemporaryDirectory() as laid:
        yield DeepFashion(folder, 256).lay_out(laid)


def training_pictures(train_dir: str | Path) -> list[Path]:
    """Return the pictures that `train_dir/train.lst` lists, or all below a folder without one."""
    train_dir = _existing(train_dir)
    listing = list_file(train_dir, "train")
    if listing is None:
        pictures = find_pictures(train_dir)
    else:
        store = FolderStore(train_dir)
        pictures = sorted(store.path(name) for name in read_list(listing))
    if len(pictures) < 2:
        raise DataError(f"{train_dir}: no pictures, or only one, which has no distribution")
    return pictures


def expected_pairs(reference_dir: str | Path, file: str | Path | None = None) -> set[Pair] | None:
    """Return the test pairs of `file`, or of the data set in a folder; None if it names none."""
    if file is None:
        file = next(iter(pair_files(Path(reference_dir), "test")), None)
    elif not Path(file).is_file():
        raise DataError(f"{file}: no such file")
    if file is None:
        return None
    return {(mangle(source), mangle(target)) for source, target in read_pairs(Path(file))}


def complain(names: Collection[str], what: str) -> None:
    """Warn that some things are so and so, with their number and the first three."""
    if names:
        shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        warnings.warn(f"{len(names)} {what}: {shown}", EvaluationWarning, stacklevel=3)


def match_results(generated_dir: str | Path, reference_dir: str | Path) -> list[Match]:
    """Pair every result with its reference, sorted by target, then source.

    Results whose names cannot be read, or whose reference is missing, are left out with a warning
    that counts them. Raises DataError, a ValueError, where nothing matches, a pair has two results
    or a result two references.
    """
    store = FolderStore(_existing(reference_dir))
    matches: dict[Pair, Match] = {}
    unread, missing = [], []
    for path in find_pictures(generated_dir):
        try:
            source, target = parse_result_name(path.name)
        except ValueError:
            unread.append(path.name)
            continue
        place = store.place(target)
        if place is None:
            missing.append(path.name)
            continue
        match = Match(path, store.root / place, source, target)
        if match.pair in matches:
            raise DataError(
                f"{matches[match.pair].result} and {path} are results of one pair; move one away"
            )
        matches[match.pair] = match
    if not matches:
        raise DataError(
            f"no picture in {generated_dir} has its reference in {reference_dir} "
            f"({len(unread) + len(missing)} results, {len(store)} references); results are named "
            f"{SCHEME}"
        )
    complain(unread, f"pictures in {generated_dir} are not named {SCHEME}")
    complain(missing, f"results in {generated_dir} have no reference in {reference_dir}")
    return sorted(matches.values(), key=lambda match: (match.target, match.source))


def kept(count: int, size: int, drop_last: bool) -> int:
    """Return how many of `count` items come in batches; a shorter last one may be dropped.

    Fewer items than `size` are one batch, which is kept.
    """
    size = min(size, count) or 1
    return count // size * size if drop_last else count


def batches(items: Sequence[T], size: int, drop_last: bool = False) -> Iterator[Sequence[T]]:
    """Yield runs of `size` items, of as many as are `kept`."""
    end = kept(len(items), size, drop_last)
    for start in range(0, end, size):
        yield items[start : min(start + size, end)]

"""Folders of results and references: find pictures, pair them by name, read them."""

import hashlib
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from xmdpt.data.annotations import SPLITS, Split, list_file, pair_files, read_pairs
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.index import INDEX, read_index
from xmdpt.data.pairs import HEIC_SUFFIXES, MARKET, canonical, mangle, nearest, possible_pairs
from xmdpt.data.remarks import some
from xmdpt.data.stores import (
    LMDB_NAME,
    DataError,
    FolderStore,
    LmdbStore,
    Store,
    find_files,
    lmdb_folders,
)
from xmdpt.evaluation.protocols import Size
from xmdpt.support.cores import usable_cores

THREADS = min(8, len(usable_cores()))
T = TypeVar("T")
READING = ("data/images.py", "data/stores.py", "support/pictures.py")
"""Files of the package by which a stored picture becomes numbers: part of keys, see `code_key`."""
Pair = tuple[str, str]
"""The mangled names of (source, target)."""
SCHEME = "<source>_2_<target>_vis.png, where a name is fashionWOMENDressesid0000713204_4full"


class EvaluationWarning(UserWarning):
    """Something that readers of the scores must know."""


@dataclass(frozen=True)
class Match:
    """A result and the mangled names of its pair; ideally it equals the picture `target`.

    `folder` is the target's folder in a data set that has one folder per person, else empty.
    """

    result: Path
    source: str
    target: str
    folder: str = ""

    @property
    def pair(self) -> Pair:
        """The mangled names of source and target."""
        return self.source, self.target

    @property
    def person(self) -> str:
        """Who is shown: DeepFashion's item, Market-1501's person, a folder, else the target."""
        if item := re.match(r"fashion.+?id\d{8}", self.target):
            return item[0]
        if person := MARKET.match(self.target):
            return person[1]
        return self.folder or self.target


@dataclass(frozen=True)
class Picture:
    """A picture in a store, by its name there; an index also gives its digest."""

    store: Store
    name: str
    known_digest: str | None = None

    def read(self) -> np.ndarray:
        """Return the picture as stored, uint8 (H, W, 3)."""
        return np.array(self.store.image(self.name))

    def size(self) -> Size:
        """Return (height, width) as stored."""
        return self.store.size_of(self.name)

    def digest(self) -> str:
        """Return the SHA-256 of the stored bytes in hexadecimal."""
        return self.known_digest or hashlib.sha256(self.store.content(self.name)).hexdigest()


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return folder


def find_pictures(folder: str | Path) -> list[Path]:
    """Return the pictures below `folder` (see `find_files`), sorted.

    Raises DataError if the folder does not exist.
    """
    folder = _existing(folder)
    return sorted(folder / name for name in find_files(folder))


def _open(folder: Path, size: Size) -> Store:
    """Open a folder's pictures; of several LMDBs the one of `size`, else the next higher one."""
    if (folder / "data.mdb").is_file() and LMDB_NAME.fullmatch(folder.name):
        return LmdbStore(folder)
    folders = {tuple(map(int, found.name.split("-"))): found for found in lmdb_folders(folder)}
    if not folders or next(find_files(folder), None) is not None:
        return FolderStore(folder)
    high = [one for one in folders if one[0] >= size[0]] or list(folders)[-1:]
    return LmdbStore(folders[size if size in folders else high[0]])


def _listed(folder: Path, split: Split) -> list[str] | None:
    """Return a split's picture names from its list, else its pairs; None if it has neither."""
    if list_file(folder, split) is None and not pair_files(folder, split):
        return None
    return DeepFashion(folder, 256).pictures(split)  # names only: any size will do


class References:
    """A folder's pictures in any layout of docs/reproduce/data.md, by any spelling of a name."""

    def __init__(self, folder: str | Path, size: Size = (256, 256)) -> None:
        """Open `folder`; `size` (height, width) chooses among several LMDBs."""
        self.folder = _existing(folder)
        self._digests: dict[str, str] = {}
        if (self.folder / INDEX).is_file():
            self.store, _, _, self._digests = read_index(self.folder)
        else:
            self.store = _open(self.folder, size)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Mangled name -> full name, for every picture in a list or a pair."""
        known: dict[str, str] = {}
        for name in (name for split in SPLITS for name in _listed(self.folder, split) or []):
            other = known.setdefault(mangle(name), name)
            if other != name:
                raise DataError(
                    f"{self.folder}: result names cannot tell {other} from {name}; rename one"
                )
        return known

    def find(self, name: str) -> Picture | None:
        """Return the picture with a mangled name, or None."""
        full = self._names.get(name, canonical(name))
        return None if self.store.place(full) is None else self.picture(full)

    def require(self, name: str) -> Picture:
        """Return the picture with a mangled name; raises DataError if there is none."""
        found = self.find(name)
        if found is None:
            raise DataError(f"{self.store}: holds no picture {name}, but other files there do")
        return found

    def picture(self, name: str) -> Picture:
        """Return the picture with a full name."""
        return Picture(self.store, name, self._digests.get(name))


def training_pictures(train_dir: str | Path, size: Size = (256, 256)) -> list[Picture]:
    """Return a data set's training pictures: those in train.lst, else those in training pairs.

    In a folder with neither, every picture counts. `size` is as for `References`.
    """
    references = References(train_dir, size)
    folder, store = references.folder, references.store
    names = _listed(folder, "train")
    if names is None and isinstance(store, LmdbStore):
        raise DataError(f"{folder}: has no train.lst to say which pictures are for training")
    if names is None:
        names = list(find_files(folder))
    elif list_file(folder, "train") is None:
        warn(f"{folder} has no train.lst: using the {len(names)} pictures in training pairs")
    if len(names) < 2:
        raise DataError(f"{folder}: needs two training pictures or more, has {len(names)}")
    return [references.picture(name) for name in sorted(names, key=PurePosixPath)]


def expected_pairs(reference_dir: str | Path, file: str | Path | None = None) -> set[Pair] | None:
    """Return the test pairs in `file`, else those of the data set; None if it lists none."""
    if file is not None and not Path(file).is_file():
        raise DataError(f"{file}: no such file")
    files = pair_files(Path(reference_dir), "test") if file is None else [Path(file)]
    if not files:
        return None
    return {(mangle(source), mangle(target)) for source, target in read_pairs(files[0])}


def warn(message: str) -> None:
    """Warn readers of the scores."""
    warnings.warn(message, EvaluationWarning, stacklevel=3)


def warn_about(names: Collection[str], what: str) -> None:
    """Warn that `names` are `what`, giving their number and the first three."""
    if names:
        warn(f"{len(names)} {what}: {some(sorted(names))}")


def match_results(generated_dir: str | Path, reference_dir: str | Path) -> list[Match]:
    """Pair every result with its reference, sorted by target, then source.

    Results with an unreadable name or no reference are skipped with a warning that counts them.
    Raises DataError if nothing matches or if two results belong to one pair.
    """
    references = References(reference_dir)
    matches: dict[Pair, Match] = {}
    unread: list[str] = []
    missing: list[str] = []
    for path in find_pictures(generated_dir):
        meant = possible_pairs(path.name)
        known = {pair: found for pair in meant if (found := references.find(pair[1]))}
        if len(known) > 1:  # names that contain the separator: the source decides
            known = {pair: known[pair] for pair in known if references.find(pair[0])} or known
        if len(known) != 1:
            (missing if meant and not known else unread).append(path.name)
            continue
        [((source, target), picture)] = known.items()
        match = Match(path, source, target, str(PurePosixPath(picture.name).parent))
        if match.pair in matches:
            raise DataError(
                f"{matches[match.pair].result} and {path} are results of one pair; remove one"
            )
        matches[match.pair] = match
    heic = [*find_files(Path(generated_dir), HEIC_SUFFIXES)]
    if not matches:
        raise DataError(
            f"no picture in {generated_dir} has its reference in {reference_dir} "
            f"({len(unread) + len(missing)} results, {len(references.store)} references); results "
            f"are named {SCHEME}{_example(unread, missing, heic, references)}"
        )
    warn_about(heic, f"files in {generated_dir} are HEIC, which is not read; save them as PNG")
    warn_about(unread, f"pictures in {generated_dir} are not named {SCHEME}")
    warn_about(missing, f"results in {generated_dir} have no reference in {reference_dir}")
    ordered = sorted(matches.values(), key=lambda match: (match.target, match.source))
    if len({match.folder for match in ordered}) == 1:  # one folder for all: not a person's
        ordered = [replace(match, folder="") for match in ordered]
    return ordered


def _example(
    unread: Sequence[str], missing: Sequence[str], heic: Sequence[str], references: References
) -> str:
    """What is there beside what was wanted, for names that do not meet."""
    if missing:
        target = possible_pairs(missing[0])[0][1]
        close = nearest(target, references.store.names())
        return f"; {missing[0]} wants {target}, and the closest reference is {close or 'none'}"
    if unread:
        return f"; the first is {unread[0]}"
    return f"; {heic[0]} is HEIC, which is not read: save it as PNG" if heic else ""


def kept(count: int, size: int, drop_last: bool) -> int:
    """Return how many of `count` items are left when a partial last batch is dropped.

    A single partial batch is kept.
    """
    size = min(size, count) or 1
    return count // size * size if drop_last else count


def batches(items: Sequence[T], size: int, drop_last: bool = False) -> Iterator[Sequence[T]]:
    """Yield batches of `size` items; see `kept` for the last one."""
    end = kept(len(items), size, drop_last)
    for start in range(0, end, size):
        yield items[start : min(start + size, end)]

"""Folders of results and references: finding, pairing by name, reading."""

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
from xmdpt.data.pairs import MARKET, canonical, mangle, possible_pairs
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

T = TypeVar("T")
Pair = tuple[str, str]
"""(source, target), mangled names."""
SCHEME = "<source>_2_<target>_vis.png, where a name is fashionWOMENDressesid0000713204_4full"


class EvaluationWarning(UserWarning):
    """Something that a reader of the numbers must know."""


@dataclass(frozen=True)
class Match:
    """One result and the mangled names of its pair; it should equal the picture `target`.

    `folder` is where the target lies in its data set, if people have folders there.
    """

    result: Path
    source: str
    target: str
    folder: str = ""

    @property
    def pair(self) -> Pair:
        return self.source, self.target

    @property
    def person(self) -> str:
        """Who is shown: DeepFashion's item, Market-1501's person, a folder, else the target."""
        found = re.match(r"fashion.+?id\d{8}", self.target)
        person = MARKET.match(self.target)
        return found[0] if found else person[1] if person else self.folder or self.target


@dataclass(frozen=True)
class Picture:
    """A picture of a store, by the name that it has there; an index knows its digest."""

    store: Store
    name: str
    known_digest: str | None = None

    def read(self) -> np.ndarray:
        """uint8 (H, W, 3), as stored."""
        return np.array(self.store.image(self.name))

    def digest(self) -> str:
        """SHA-256 of the stored bytes, in hexadecimal digits."""
        return self.known_digest or hashlib.sha256(self.store.content(self.name)).hexdigest()


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return folder


def find_pictures(folder: str | Path) -> list[Path]:
    """Return the pictures below `folder`, see `find_files`, sorted.

    Raises DataError if there is no such folder.
    """
    folder = _existing(folder)
    return sorted(folder / name for name in find_files(folder))


def _open(folder: Path, size: Size) -> Store:
    """The pictures of a folder; of several LMDBs that of `size`, else the next higher one."""
    if (folder / "data.mdb").is_file() and LMDB_NAME.fullmatch(folder.name):
        return LmdbStore(folder)
    folders = {tuple(map(int, found.name.split("-"))): found for found in lmdb_folders(folder)}
    if not folders or next(find_files(folder), None) is not None:
        return FolderStore(folder)
    high = [one for one in folders if one[0] >= size[0]] or list(folders)[-1:]
    return LmdbStore(folders[size if size in folders else high[0]])


def _listed(folder: Path, split: Split) -> list[str] | None:
    """Names of a split's pictures, by its list or else its pairs; None where neither is there."""
    if list_file(folder, split) is None and not pair_files(folder, split):
        return None
    return DeepFashion(folder, 256).pictures(split)  # names alone: no size matters


class References:
    """The pictures of a folder in any layout of docs/data.md, by any spelling of their names."""

    def __init__(self, folder: str | Path, size: Size = (256, 256)):
        """`size`: (height, width) that LMDB pictures should have, where there are several LMDBs."""
        self.folder = _existing(folder)
        self._digests: dict[str, str] = {}
        if (self.folder / INDEX).is_file():
            self.store, _, _, self._digests = read_index(self.folder)
        else:
            self.store = _open(self.folder, size)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Full names by mangled ones, of those that lists or pairs name."""
        known: dict[str, str] = {}
        for name in (name for split in SPLITS for name in _listed(self.folder, split) or []):
            other = known.setdefault(mangle(name), name)
            if other != name:
                raise DataError(
                    f"{self.folder}: results cannot tell {other} from {name}: rename one"
                )
        return known

    def find(self, name: str) -> Picture | None:
        """The picture of a mangled name; None if there is no such picture."""
        full = self._names.get(name, canonical(name))
        return None if self.store.place(full) is None else self.picture(full)

    def require(self, name: str) -> Picture:
        """The picture of a mangled name; raises DataError where there is no such picture."""
        found = self.find(name)
        if found is None:
            raise DataError(f"{self.store}: holds no picture {name}, which other files there have")
        return found

    def picture(self, name: str) -> Picture:
        """The picture of a full name."""
        return Picture(self.store, name, self._digests.get(name))


def training_pictures(train_dir: str | Path, size: Size = (256, 256)) -> list[Picture]:
    """Return the training pictures of a data set: those listed in train.lst, else in its pairs.

    In a folder with neither, all pictures count. `size`: see `References`.
    """
    references = References(train_dir, size)
    folder, store = references.folder, references.store
    names = _listed(folder, "train")
    if names is None and isinstance(store, LmdbStore):
        raise DataError(f"{folder}: no train.lst says which of its pictures are for training")
    if names is None:
        names = [path.relative_to(folder).as_posix() for path in find_pictures(folder)]
    elif list_file(folder, "train") is None:
        message = f"{folder} has no train.lst: training pictures are the {len(names)} of its pairs"
        warnings.warn(message, EvaluationWarning, stacklevel=3)
    if len(names) < 2:
        raise DataError(f"{folder}: no pictures, or only one, which has no distribution")
    return [references.picture(name) for name in sorted(names, key=PurePosixPath)]


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
    references = References(reference_dir)
    matches: dict[Pair, Match] = {}
    unread, missing = [], []
    for path in find_pictures(generated_dir):
        meant = possible_pairs(path.name)
        known = {pair: found for pair in meant if (found := references.find(pair[1]))}
        if len(known) > 1:  # names that hold what separates them: the source tells
            known = {pair: known[pair] for pair in known if references.find(pair[0])} or known
        if len(known) != 1:
            (missing if meant and not known else unread).append(path.name)
            continue
        [((source, target), picture)] = known.items()
        match = Match(path, source, target, str(PurePosixPath(picture.name).parent))
        if match.pair in matches:
            raise DataError(
                f"{matches[match.pair].result} and {path} are results of one pair; move one away"
            )
        matches[match.pair] = match
    if not matches:
        raise DataError(
            f"no picture in {generated_dir} has its reference in {reference_dir} "
            f"({len(unread) + len(missing)} results, {len(references.store)} references); results "
            f"are named {SCHEME}"
        )
    complain(unread, f"pictures in {generated_dir} are not named {SCHEME}")
    complain(missing, f"results in {generated_dir} have no reference in {reference_dir}")
    ordered = sorted(matches.values(), key=lambda match: (match.target, match.source))
    if len({match.folder for match in ordered}) == 1:  # then a folder is not a person
        ordered = [replace(match, folder="") for match in ordered]
    return ordered


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

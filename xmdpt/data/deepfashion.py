"""Reader of DeepFashion In-shop and of data sets like it, real or rendered, in all their formats.

A root is either an index that the stage `prepare` made (`xmdpt.data.index`), or a folder with
pictures (`xmdpt.data.stores`), lists, pairs and key points (`xmdpt.data.annotations`); which of
these it holds, the reader finds out. docs/data.md shows the layouts.
"""

import hashlib
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from xmdpt.data.annotations import (
    Keypoints,
    Pair,
    Split,
    Target,
    list_file,
    open_keypoints,
    pair_files,
    read_list,
    read_pairs,
    read_targets,
)
from xmdpt.data.index import INDEX, read_index
from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.data.stores import (
    SUFFIXES,
    DataError,
    FolderStore,
    Store,
    open_store,
    read_picture,
    squash,
)
from xmdpt.support.files import atomic_path

__all__ = ["DataError", "DeepFashion", "Split", "read_picture"]


class DeepFashion:
    """The pictures, key points and pairs below `root`; names are relative: "img/WOMEN/..."."""

    def __init__(self, root: str | Path, size: int):
        """`size`: side in pixels of the squared pictures and skeletons that are returned."""
        self.root = Path(root)
        self.size = size
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; the stage `prepare` makes this data set")

    @cached_property
    def _opened(self) -> tuple[Store, Keypoints | None, Path, Mapping[str, str]]:
        if (self.root / INDEX).is_file():
            return read_index(self.root)
        store = open_store(self.root, self.size)
        return store, open_keypoints(self.root, store.size_of), self.root, {}

    @property
    def store(self) -> Store:
        """Where the pictures are, by name."""
        return self._opened[0]

    @property
    def _keypoints(self) -> Keypoints | None:
        return self._opened[1]

    @property
    def raw(self) -> Path:
        """Where the pictures are: `root`, or the folder that an index tells of."""
        return self._opened[2]

    @property
    def _digests(self) -> Mapping[str, str]:
        return self._opened[3]

    def pictures(self, split: Split) -> list[str]:
        """Names of the pictures of a split; without a list, those in its pairs."""
        path = list_file(self.root, split)
        if path is not None:
            return read_list(path)
        return list(dict.fromkeys(name for pair in self.pairs(split) for name in pair))

    def pairs(self, split: Split) -> list[Pair]:
        """(source, target) names; where a file names several sources, each makes a pair."""
        return read_pairs(self._pair_file(split))

    def targets(self, split: Split) -> list[Target]:
        """(target, sources) names, one for each line: what the authors' training draws from."""
        return read_targets(self._pair_file(split))

    def _pair_file(self, split: Split) -> Path:
        files = pair_files(self.root, split)
        if not files:
            raise DataError(f"{self.root}: no {split}_pairs.txt and no table pairs-{split}.csv")
        return files[0]

    def picture(self, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 (size, size, 3), or (H, W, 3) of `size`: squashed by PIL's bicubic."""
        return squash(self.store.image(name), size or (self.size, self.size))

    def keypoints(self, name: str) -> np.ndarray:
        """(18, 2) x, y in the annotation frame, -1 missing."""
        if self._keypoints is None:
            raise DataError(
                f"{self.root}: no key points: no folder pose/ and no table keypoints.csv"
            )
        return self._keypoints.read(name)

    def skeleton(self, name: str) -> np.ndarray:
        """The skeleton picture, uint8 (size, size, 3)."""
        size = (self.size, self.size)
        return draw_skeleton(annotation_to_pixels(self.keypoints(name), size), size)

    def digest(self, name: str) -> str:
        """SHA-256, in hexadecimal digits, of all that features of a picture depend on.

        That is the bytes of the stored picture, which an index knows the digest of and need not
        read again, and the key points.
        """
        content = self._digests.get(name) or hashlib.sha256(self.store.content(name)).hexdigest()
        digest = hashlib.sha256(content.encode())
        digest.update(self.keypoints(name).astype("<f8").tobytes())
        return digest.hexdigest()

    def lay_out(self, folder: str | Path) -> Path:
        """Put all pictures as files into `folder`, in DeepFashion's layout with train.lst.

        What lies in files is linked (copied where links cannot be made); an LMDB's pictures are
        written as the PNG files that they are. What lies there of an earlier call is replaced.
        Returns the folder: whoever reads files, as evaluation does, reads any data set there.
        Raises DataError where the folder lies in the data set itself, which is never written to.
        """
        folder = Path(folder)
        for split in ("train", "test"):
            places = [self._lay_out_picture(folder, name) for name in self.pictures(split)]
            with atomic_path(folder / f"{split}.lst") as partial:
                partial.write_text("".join(f"{place}\n" for place in places), encoding="utf-8")
        return folder

    def _lay_out_picture(self, folder: Path, name: str) -> str:
        stored = self.store.path(name).absolute() if isinstance(self.store, FolderStore) else None
        suffix = Path(name).suffix
        stem = name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name
        place = folder / f"{stem}{stored.suffix if stored else '.png'}"
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{self.root}: {name} is not a name below it; run `xmdpt survey`")
        for own in (self.root, self.raw):
            if place.parent.resolve().is_relative_to(own.resolve()):
                raise DataError(f"{place.parent}: lies in the data set {own}; name another folder")
        # What is there already may be a link to an original, even another data set's: it is
        # replaced, since what is written to it would go through.
        with atomic_path(place) as partial:
            if stored is None:
                partial.write_bytes(self.store.content(name))
            else:
                _link_or_copy(stored, partial)
        return place.relative_to(folder).as_posix()


def _link_or_copy(stored: Path, place: Path) -> None:
    place.unlink(missing_ok=True)
    try:
        place.symlink_to(stored)
    except OSError:  # Windows lets few make links
        shutil.copyfile(stored, place)

"""Reader of DeepFashion In-shop and similar data sets, real or rendered, in all their formats.

A root is either an index made by the stage `prepare` (`xmdpt.data.index`), or a folder with
pictures (`xmdpt.data.stores`), lists, pairs and key points (`xmdpt.data.annotations`). The reader
detects which. docs/reproduce/data.md shows the layouts.
"""

import hashlib
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np

from xmdpt.data.annotations import (
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
from xmdpt.data.index import INDEX, Opened, read_index
from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.data.pairs import SUFFIXES
from xmdpt.data.stores import (
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
        """`size`: side in pixels of the square pictures and skeletons that are returned."""
        self.root = Path(root)
        self.size = size
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; the stage `prepare` makes this data set")

    @cached_property
    def _opened(self) -> Opened:
        if (self.root / INDEX).is_file():
            return read_index(self.root)
        store = open_store(self.root, self.size)
        return Opened(store, open_keypoints(self.root, store.size_of), self.root, {})

    @property
    def store(self) -> Store:
        """Gives the pictures by name."""
        return self._opened.store

    @property
    def raw(self) -> Path:
        """Where the pictures are: `root`, or the folder that its index points to."""
        return self._opened.raw

    def pictures(self, split: Split) -> list[str]:
        """Names of the pictures of a split; without a list file, those in its pairs."""
        path = list_file(self.root, split)
        if path is not None:
            return read_list(path)
        return list(dict.fromkeys(name for pair in self.pairs(split) for name in pair))

    def pairs(self, split: Split) -> list[Pair]:
        """(source, target) names; each of several sources of a target makes a pair."""
        return read_pairs(self._pair_file(split))

    def targets(self, split: Split) -> list[Target]:
        """(target, sources) names, one for each line, from which the authors' training draws."""
        return read_targets(self._pair_file(split))

    def _pair_file(self, split: Split) -> Path:
        files = pair_files(self.root, split)
        if not files:
            raise DataError(f"{self.root}: no {split}_pairs.txt and no table pairs-{split}.csv")
        return files[0]

    def picture(self, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 (size, size, 3), or (H, W, 3) of `size`, resized by PIL's bicubic filter."""
        return squash(self.store.image(name), size or (self.size, self.size))

    def keypoints(self, name: str) -> np.ndarray:
        """(18, 2) x, y in the annotation frame, -1 missing."""
        keypoints = self._opened.keypoints
        if keypoints is None:
            raise DataError(
                f"{self.root}: no key points: no folder pose/ and no table keypoints.csv"
            )
        return keypoints.read(name)

    def skeleton(self, name: str) -> np.ndarray:
        """The skeleton picture, uint8 (size, size, 3)."""
        size = (self.size, self.size)
        return draw_skeleton(annotation_to_pixels(self.keypoints(name), size), size)

    def digest(self, name: str) -> str:
        """SHA-256, in hexadecimal digits, of all that features of a picture depend on.

        That is the stored picture, whose own digest an index already holds, and its key points.
        """
        content = self._opened.digests.get(name)
        content = content or hashlib.sha256(self.store.content(name)).hexdigest()
        digest = hashlib.sha256(content.encode())
        digest.update(self.keypoints(name).astype("<f8").tobytes())
        return digest.hexdigest()

    def lay_out(self, folder: str | Path) -> Path:
        """Put all pictures as files into `folder`, in DeepFashion's layout with train.lst.

        Picture files are linked (copied if links are impossible); an LMDB's pictures are written as
        PNG files. Files of an earlier call are replaced. Returns the folder, for tools that read
        only files. Raises DataError for a folder inside the data set, which is never written to.
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
            raise DataError(f"{self.root}: {name} leads out of it; run `xmdpt survey`")
        for own in (self.root, self.raw):
            if place.parent.resolve().is_relative_to(own.resolve()):
                raise DataError(
                    f"{place.parent}: lies in the data set {own}; choose another folder"
                )
        # An existing file may be a link to an original, even of another data set. Writing to it
        # would change the original, so it is replaced.
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

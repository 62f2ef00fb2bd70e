"""Reader of DeepFashion In-shop and of data sets like it, real or rendered, in all their formats.

A root is either an index that the stage `prepare` made (`xmdpt.data.index`), or a folder with
pictures (`xmdpt.data.stores`), lists, pairs and key points (`xmdpt.data.annotations`); which of
these it holds, the reader finds out. docs/data.md shows the layouts.
"""

import hashlib
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np

from xmdpt.data.annotations import (
    Keypoints,
    Pair,
    PoseFolder,
    Split,
    list_file,
    open_keypoints,
    pair_files,
    read_list,
    read_pairs,
)
from xmdpt.data.index import INDEX, read_index
from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.data.stores import DataError, FolderStore, Store, open_store, read_picture, squash

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
    def _opened(self) -> tuple[Store, Keypoints | None, Path]:
        if (self.root / INDEX).is_file():
            return read_index(self.root)
        store = open_store(self.root, self.size)
        return store, open_keypoints(self.root, store.size_of), self.root

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

    def pictures(self, split: Split) -> list[str]:
        """Names of the pictures of a split; without a list, those in its pairs."""
        path = list_file(self.root, split)
        if path is not None:
            return read_list(path)
        return list(dict.fromkeys(name for pair in self.pairs(split) for name in pair))

    def pairs(self, split: Split) -> list[Pair]:
        """(source, target) names; where a file names several sources, each makes a pair."""
        files = pair_files(self.root, split)
        if not files:
            raise DataError(f"{self.root}: no {split}_pairs.txt and no table pairs-{split}.csv")
        return read_pairs(files[0])

    def picture(self, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 (size, size, 3), or (H, W, 3) of `size`: squashed by PIL's bicubic."""
        return squash(self.store.image(name), size or (self.size, self.size))

    def pose_path(self, name: str) -> Path:
        """The key point file of a picture, in a data set that has one for each."""
        if not isinstance(self._keypoints, PoseFolder):
            raise DataError(f"{self.root}: its key points are not in files of their own")
        return self._keypoints.path(name)

    def has_keypoints(self, name: str) -> bool:
        """Whether key points of a picture are there."""
        return self._keypoints is not None and name in self._keypoints

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

        That is the bytes of the stored picture and the key points.
        """
        digest = hashlib.sha256(self.store.content(name))
        digest.update(self.keypoints(name).astype("<f8").tobytes())
        return digest.hexdigest()

    def lay_out(self, folder: str | Path) -> Path:
        """Put all pictures as files into `folder`, in DeepFashion's layout with train.lst.

        What lies in files is linked (copied where links cannot be made); an LMDB's pictures are
        written as the PNG files that they are. Returns the folder: whoever reads files, as
        evaluation does, reads any data set there.
        """
        folder = Path(folder)
        for split in ("train", "test"):
            places = [self._lay_out_picture(folder, name) for name in self.pictures(split)]
            (folder / f"{split}.lst").write_text("".join(f"{place}\n" for place in places))
        return folder

    def _lay_out_picture(self, folder: Path, name: str) -> str:
        if not isinstance(self.store, FolderStore):
            place = str(Path(name).with_suffix(".png").as_posix())
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(self.store.content(name))
            return place
        stored = self.store.path(name).absolute()
        place = folder / Path(name).with_suffix(stored.suffix)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.symlink_to(stored)
        except OSError:  # Windows lets few make links
            shutil.copyfile(stored, place)
        return place.relative_to(folder).as_posix()

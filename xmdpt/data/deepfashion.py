"""Reader of a data set in DeepFashion In-shop's layout (docs/architecture.md), real or rendered."""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from xmdpt.data.keypoints import JOINTS, annotation_to_pixels, draw_skeleton

Split = Literal["train", "test"]


class DataError(ValueError):
    """A data set that cannot be used; the message names the file and the cure."""


def read_picture(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (H, W, 3); with `size` (H, W) squashed to it by PIL's bicubic, as the field does."""
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: no such picture") from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{path}: not a readable picture ({error}); copy it anew") from None
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    return np.array(image)  # a copy: torch wants to own what it wraps


class DeepFashion:
    """The pictures, key points and pairs below `root`; names are relative: "img/WOMEN/..."."""

    def __init__(self, root: str | Path, size: int):
        self.root = Path(root)
        self.size = size
        if not (self.root / "train.lst").is_file():
            raise DataError(
                f"{self.root}/train.lst: no such file; the stage `prepare` makes this data set"
            )

    def _lines(self, name: str) -> list[str]:
        path = self.root / name
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        return path.read_text().split()

    def pictures(self, split: Split) -> list[str]:
        return self._lines(f"{split}.lst")

    def pairs(self, split: Split) -> list[tuple[str, str]]:
        """(source, target) names; the file holds the target first, then one or more sources."""
        pairs = []
        for number, line in enumerate(self._lines(f"{split}_pairs.txt"), start=1):
            target, *sources = line.split(",")
            if not sources:
                raise DataError(
                    f"{self.root}/{split}_pairs.txt: line {number} names no source: '{line}'"
                )
            pairs += [(source, target) for source in sources]
        return pairs

    def picture(self, name: str) -> np.ndarray:
        """uint8 (size, size, 3)."""
        return read_picture(self.root / name, (self.size, self.size))

    def pose_path(self, name: str) -> Path:
        """The key point file of a picture."""
        return self.root / "pose" / Path(name).relative_to("img").with_suffix(".txt")

    def keypoints(self, name: str) -> np.ndarray:
        """(18, 2) x, y in the annotation frame, -1 missing."""
        path = self.pose_path(name)
        try:
            keypoints = np.loadtxt(path, ndmin=2)
        except (FileNotFoundError, ValueError) as error:
            raise DataError(f"{path}: not a key point file ({error})") from None
        if keypoints.shape != (len(JOINTS), 2):
            raise DataError(f"{path}: needs 18 rows of x y, has shape {keypoints.shape}")
        return keypoints

    def skeleton(self, name: str) -> np.ndarray:
        """The skeleton picture, uint8 (size, size, 3)."""
        size = (self.size, self.size)
        return draw_skeleton(annotation_to_pixels(self.keypoints(name), size), size)

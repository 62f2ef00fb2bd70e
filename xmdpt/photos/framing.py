"""Framing: from anybody's photo to a picture cut as DeepFashion's are, and its points with it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import missing

ASPECT_WIDTH, ASPECT_HEIGHT = 750, 1101
"""DeepFashion In-shop's pictures."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of a photo."""

MARGIN = 0.05  # of the person's height: DeepFashion's people nearly fill the picture


@dataclass(frozen=True)
class Frame:
    """A rectangle in pixels of a photo; it may reach beyond the photo, where white goes."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, photo: Image.Image) -> Image.Image:
        """The RGB picture inside the frame, `width` by `height`."""
        canvas = Image.new("RGB", (self.width, self.height), "white")
        canvas.paste(photo, (-self.left, -self.top))
        return canvas

    def points_in(self, keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Photo pixels (18, 2) -> pixels of the cut picture squashed to `size` (H, W); -1 stays."""
        height, width = size
        scale = np.array([width / self.width, height / self.height])
        inside = (np.asarray(keypoints, np.float64) - [self.left, self.top]) * scale
        inside[missing(keypoints)] = -1
        return inside


def squash(picture: Image.Image, size: int) -> np.ndarray:
    """uint8 (size, size, 3), by PIL's bicubic as the field does."""
    return np.array(picture.resize((size, size), Image.Resampling.BICUBIC))


def unsquash(picture: Image.Image) -> Image.Image:
    """A square picture of the model in DeepFashion's aspect again; its width is kept."""
    height = round(picture.width * ASPECT_HEIGHT / ASPECT_WIDTH)
    return picture.resize((picture.width, height), Image.Resampling.BICUBIC)


def is_framed(size: tuple[int, int]) -> bool:
    """Whether a picture of `size` (W, H) has DeepFashion's aspect already, to 2%."""
    width, height = size
    return abs(width / height * ASPECT_HEIGHT / ASPECT_WIDTH - 1) < 0.02


def whole_frame(size: tuple[int, int]) -> Frame:
    """All of a photo of `size` (W, H), with white beside or above and below it to the aspect.

    A photo that has the aspect already is taken as it is.
    """
    width, height = size
    if is_framed(size):
        return Frame(0, 0, width, height)
    return _grow((0, 0, width, height))


def person_frame(box: Box) -> Frame:
    """The person's box, a margin around it, grown to the aspect about its centre."""
    left, top, right, bottom = box
    margin = MARGIN * (bottom - top)
    return _grow((left - margin, top - margin, right + margin, bottom + margin))


def _grow(box: Box) -> Frame:
    left, top, right, bottom = box
    height = round(max(bottom - top, (right - left) * ASPECT_HEIGHT / ASPECT_WIDTH, 1))
    width = max(round(height * ASPECT_WIDTH / ASPECT_HEIGHT), 1)
    return Frame(
        left=round((left + right - width) / 2),
        top=round((top + bottom - height) / 2),
        width=width,
        height=height,
    )


def keypoints_box(keypoints: np.ndarray, size: tuple[int, int] | None = None) -> Box:
    """The box of a person of whom only joints are known, within a photo of `size` (W, H).

    Joints end short of the body: half a head above the eyes, a foot below the ankles, flesh and
    cloth beside. The room is a part of the joints' extent, 12% above, 6% below and 6% beside.
    """
    seen = np.asarray(keypoints)[~missing(keypoints)]
    (left, top), (right, bottom) = seen.min(axis=0), seen.max(axis=0)
    extent = max(bottom - top, right - left)
    box = (left - 0.06 * extent, top - 0.12 * extent, right + 0.06 * extent, bottom + 0.06 * extent)
    if size is None:
        return box
    width, height = size
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)


def drop_outside(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mark joints that lie outside a picture of `size` (H, W) as missing, as the data sets do."""
    height, width = size
    outside = ((keypoints < 0) | (keypoints >= [width, height])).any(axis=1)
    return np.where(outside[:, None], -1.0, keypoints)

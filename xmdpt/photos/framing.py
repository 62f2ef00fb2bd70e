"""Framing: cropping a photo the way DeepFashion's pictures are, and moving its points along."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import missing

ASPECT_WIDTH, ASPECT_HEIGHT = 750, 1101
"""The size of DeepFashion In-shop's pictures, whose aspect ratio every frame has."""
CANVAS = (ASPECT_HEIGHT, ASPECT_WIDTH)
"""(H, W) of the undistorted frame in which the joints of source and pose are compared."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of a photo."""

MARGIN = 0.05  # times the person's height: DeepFashion's people nearly fill the picture


@dataclass(frozen=True)
class Frame:
    """A rectangle in pixels of a photo; what lies beyond the photo is white."""

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
        """Photo pixels (18, 2) -> pixels of the cut picture resized to `size` (H, W); -1 stays."""
        height, width = size
        scale = np.array([width / self.width, height / self.height])
        inside: np.ndarray = (np.asarray(keypoints, np.float64) - [self.left, self.top]) * scale
        inside[missing(keypoints)] = -1
        return inside

    def points_on_photo(self, keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The way back from what `points_in` returns."""
        height, width = size
        scale = np.array([self.width / width, self.height / height])
        back: np.ndarray = np.asarray(keypoints, np.float64) * scale + [self.left, self.top]
        back[missing(keypoints)] = -1
        return back


def squash(picture: Image.Image, size: int) -> np.ndarray:
    """The picture resized to a square, uint8 (size, size, 3), by PIL's bicubic filter."""
    return np.array(picture.resize((size, size), Image.Resampling.BICUBIC))


def unsquash(picture: Image.Image) -> Image.Image:
    """A square picture of the model, stretched back to DeepFashion's aspect; its width is kept."""
    height = round(picture.width * ASPECT_HEIGHT / ASPECT_WIDTH)
    return picture.resize((picture.width, height), Image.Resampling.BICUBIC)


def is_framed(size: tuple[int, int]) -> bool:
    """Whether a picture of `size` (W, H) already has DeepFashion's aspect, to within 2%."""
    width, height = size
    return abs(width / height * ASPECT_HEIGHT / ASPECT_WIDTH - 1) < 0.02


def whole_frame(size: tuple[int, int]) -> Frame:
    """The whole photo of `size` (W, H), padded with white to the aspect where it has another."""
    width, height = size
    if is_framed(size):
        return Frame(0, 0, width, height)
    return _grow((0, 0, width, height))


def person_frame(box: Box) -> Frame:
    """The person's box plus a margin, grown to the aspect around its centre."""
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
    """A person's box, estimated from the joints; clipped to a photo of `size` (W, H) if given.

    The body extends beyond its joints: half a head above the eyes, a foot below the ankles, flesh
    and clothes at the sides. So the joints' box grows by 12% of its longer side at the top, and by
    6% at the bottom and on either side.
    """
    seen = np.asarray(keypoints)[np.logical_not(missing(keypoints))]
    (left, top), (right, bottom) = seen.min(axis=0), seen.max(axis=0)
    extent = max(bottom - top, right - left)
    box = (left - 0.06 * extent, top - 0.12 * extent, right + 0.06 * extent, bottom + 0.06 * extent)
    if size is None:
        return box
    width, height = size
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)


def drop_outside(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mark joints outside a picture of `size` (H, W) as missing, as the data sets do."""
    height, width = size
    outside: np.ndarray = np.any((keypoints < 0) | (keypoints >= [width, height]), axis=1)
    return np.where(outside[:, None], -1.0, keypoints)

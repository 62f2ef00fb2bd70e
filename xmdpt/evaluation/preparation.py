"""What a protocol does to pictures before scoring: sizes, filters, padding."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from xmdpt.evaluation.protocols import Protocol, Resize, Size, Step


def _pil(picture: np.ndarray, size: Size, resample: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(size[::-1], resample))


def _pil_float(picture: np.ndarray, size: Size) -> np.ndarray:
    """Resize as clean-fid does: channel by channel in floats, clipped to 0 to 255, not rounded."""
    channels = [
        np.asarray(Image.fromarray(channel).resize(size[::-1], Image.Resampling.BICUBIC))
        for channel in np.moveaxis(picture.astype(np.float32), -1, 0)
    ]
    return np.stack(channels, axis=-1).clip(0, 255)


def _cv2_float(picture: np.ndarray, size: Size, interpolation: int) -> np.ndarray:
    return cv2.resize(picture.astype(np.float32), size[::-1], interpolation=interpolation)


RESIZERS: dict[str, Callable[[np.ndarray, Size], np.ndarray]] = {
    "pil bicubic": lambda picture, size: _pil(picture, size, Image.Resampling.BICUBIC),
    "pil lanczos": lambda picture, size: _pil(picture, size, Image.Resampling.LANCZOS),
    "pil bicubic float": _pil_float,
    # OpenCV does not antialias; its cubic filter overshoots 0 and 255 and is not clipped.
    "cv2 bilinear float": lambda picture, size: _cv2_float(picture, size, cv2.INTER_LINEAR),
    "cv2 cubic float": lambda picture, size: _cv2_float(picture, size, cv2.INTER_CUBIC),
}


def prepare(picture: np.ndarray, steps: Sequence[Step], own: Size) -> np.ndarray:
    """Apply a protocol's steps to uint8 (H, W, 3); the result is uint8, or float32 from 0 to 255.

    `own` is the results' (height, width), the target of a `Resize` without a size. A picture that
    already has the size of a later step enters there.
    """
    done = [
        number
        for number, step in enumerate(steps, start=1)
        if isinstance(step, Resize) and picture.shape[:2] == (step.size or own)
    ]
    for step in steps[max(done, default=0) :]:
        if isinstance(step, Resize):
            picture = RESIZERS[step.filter](picture, step.size or own)
        else:
            columns = (step.columns, step.columns)
            picture = np.pad(picture, ((0, 0), columns, (0, 0)), constant_values=255)
    return picture


def scored_sizes(steps: Sequence[Step], own: Size) -> list[Size]:
    """Return the sizes (height, width) that results may have without being squashed."""
    return [step.size or own for step in steps if isinstance(step, Resize)]


def follows_results(steps: Sequence[Step]) -> bool:
    """Return whether the steps resize pictures to the results' size, whatever that is."""
    return any(isinstance(step, Resize) and step.size is None for step in steps)


def begins_with(rules: Protocol, own: Size, size: Size) -> bool:
    """Whether all that a protocol looks at is first squashed to `size` by PIL's bicubic."""
    others = [one.steps for one in rules.perceptual] + [one.steps for one in rules.frechet]
    firsts = [steps[0] if steps else None for steps in (rules.pixels, *others)]
    return all(
        isinstance(step, Resize) and step.filter == "pil bicubic" and (step.size or own) == size
        for step in firsts
    )

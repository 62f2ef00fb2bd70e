"""What cannot be the picture of a person: one colour, or a drawn skeleton."""

import numpy as np

from xmdpt.photos.loading import PhotoError

NOISE = 12
"""Grey levels by which the pixels of one colour may differ, as in a JPEG."""
MOST_ALIKE = 0.999
DARK, BRIGHT = 24, 64
MOST_BLACK, SATURATED, HUES = 0.6, 0.9, 8
"""Of a skeleton: the share that is black, that of pure colours in the rest, how many of 12 hues."""


def check_source(picture: np.ndarray, name: object) -> None:
    """Raise PhotoError, which begins with `name`, if uint8 (H, W, 3) can show no person."""
    colour = np.median(picture.reshape(-1, 3), axis=0)
    alike = (np.abs(picture - colour) <= NOISE).all(axis=2).mean()
    if alike >= MOST_ALIKE:
        red, green, blue = colour.astype(int)
        raise PhotoError(
            f"{name}: what is cut out for the person is of one colour (red {red}, green {green}, "
            f"blue {blue}); give a photo that shows the person, and joints in pixels of that photo"
        )
    if is_skeleton(picture):
        raise PhotoError(
            f"{name}: is a drawn skeleton, not a photo of a person; give its joints as the pose"
        )


def is_skeleton(picture: np.ndarray) -> bool:
    """Whether uint8 (H, W, 3) is a skeleton as OpenPose draws it: a rainbow of limbs on black."""
    most, least = picture.max(axis=2).astype(int), picture.min(axis=2).astype(int)
    bright = most >= BRIGHT
    if (most <= DARK).mean() < MOST_BLACK or not bright.any():
        return False
    pure = bright & (2 * least <= most)
    red, green, blue = np.moveaxis(picture[pure].astype(int), -1, 0)
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    sectors = np.bincount(((angle / (2 * np.pi) % 1) * 12).astype(int) % 12, minlength=12)
    enough = sectors >= 0.01 * pure.sum()
    return bool(pure.sum() >= SATURATED * bright.sum() and enough.sum() >= HUES)

"""What cannot be the picture of a person, or of a pose: the two mixed up, or one colour."""

import numpy as np

from xmdpt.data.skeletons import is_photo, is_skeleton
from xmdpt.photos.loading import PhotoError

NOISE = 12
"""Grey levels by which the pixels of one colour may differ, as in a JPEG."""
MOST_ALIKE = 0.999
OVERRULE = "or draw from it as it is with --any-source (any_source=True)"


def check_source(picture: np.ndarray, name: object) -> None:
    """Raise PhotoError, which begins with `name`, if uint8 (H, W, 3) can show no person."""
    colour = np.median(picture.reshape(-1, 3), axis=0)
    alike = (np.abs(picture - colour) <= NOISE).all(axis=2).mean()
    if alike >= MOST_ALIKE:
        red, green, blue = colour.astype(int)
        raise PhotoError(
            f"{name}: what is cut out for the person is of one colour (red {red}, green {green}, "
            f"blue {blue}); give a photo of the person, and joints in its pixels, {OVERRULE}"
        )
    if is_skeleton(picture):
        raise PhotoError(
            f"{name}: is a drawn skeleton, not a photo of a person; give its joints as the pose, "
            f"{OVERRULE}"
        )


def check_skeleton(picture: np.ndarray, name: object) -> None:
    """Raise PhotoError, which begins with `name`, if uint8 (H, W, 3) is a photo."""
    if is_photo(picture):
        raise PhotoError(
            f"{name}: is a photo, not a skeleton drawn on black; give its joints, or pose_finder= "
            "to find them, or use it as it is with any_source=True"
        )

"""Key points from files, text or JSON: reading, checking, and choosing one of several people."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from xmdpt.data.fit import likely_slip
from xmdpt.data.keypoints import (
    Units,
    annotation_to_pixels,
    joint_names,
    missing,
    why_no_pose,
)
from xmdpt.data.layouts import from_rows
from xmdpt.photos.formats import people_in, rows_of_text
from xmdpt.photos.framing import Box, keypoints_box
from xmdpt.photos.loading import PhotoError
from xmdpt.support.files import decode_text

MAX_COORDINATE = 1e6
MALFORMED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What content of another shape leads Python and NumPy to, numbers too large for a float too."""
SUFFIXES = (".txt", ".csv", ".json", ".npy")
OTHER_TABLES = (".xml", ".yaml", ".yml", ".npz", ".mat", ".pkl", ".h5", ".tsv")
"""Endings under which other tools keep joints, and which are no pictures either."""


def read_keypoints(
    path: str | Path,
    size: tuple[int, int] | None = None,
    units: Units | None = None,
    person: int | None = None,
    flag: str = "person",
) -> np.ndarray:
    """Read and check the joints of one person: (18, 2) in pixels, -1 missing.

    Args:
        path: text or a .npy array with a row x y [score] for each joint, or JSON of any tool that
            `xmdpt.photos.formats` knows.
        size: (H, W) of the photo that they belong to, if any.
        units: by default pixels; annotations without a photo are returned in pixels of a picture
            176 wide and 256 high.
        person: number, from 1, where a file holds several people.
        flag: the option that sets `person`, for messages.

    Raises PhotoError for a file of another kind, and as `check_keypoints` does.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such key point file") from None
    except OSError as error:
        raise PhotoError(f"{path}: not a readable key point file ({error.strerror})") from None
    try:
        keypoints = _parse(content, path, size, person, flag)
    except PhotoError:
        raise
    except MALFORMED as error:
        raise PhotoError(f"{path}: {' '.join(str(error).split())}") from None
    if units == "annotation":
        size = size or (256, 176)
        return check_keypoints(annotation_to_pixels(keypoints, size), path, size)
    hint = "coordinates as in DeepFashion's annotations need units annotation"
    return check_keypoints(keypoints, path, size, hint)


def _parse(
    content: bytes, path: Path, size: tuple[int, int] | None, person: int | None, flag: str
) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return from_rows(_array(content).tolist())
    text = decode_text(content)
    if path.suffix.lower() != ".json":
        return rows_of_text(text)
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error}); copy it again") from None
    # People without any joint do not count, in the numbering either.
    everyone = [pose for pose in people_in(tree, size) if not missing(pose).all()]
    people = [(keypoints_box(keypoints), None) for keypoints in everyone]
    return everyone[choose(people, person, str(path), flag)]


def _array(content: bytes) -> np.ndarray:
    """The array in a .npy file; ValueError for another file, and for one that holds objects."""
    try:
        array: np.ndarray = np.lib.format.read_array(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError):  # the last for sizes that are made up
        raise ValueError("no .npy file of numbers; save rows x y [score] by numpy.save") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(f"holds {array.dtype} of shape {array.shape}; needs rows x y [score]")
    return array


def check_keypoints(
    keypoints: np.ndarray,
    name: str | Path,
    size: tuple[int, int] | None = None,
    hint: str = "",
) -> np.ndarray:
    """Return the key points (18, 2) if they make a pose, in a picture of `size` (H, W) if given.

    Raises PhotoError, which begins with `name`, for what `why_no_pose` says, and for joints outside
    the picture; `hint` is appended for those.
    """
    absent = missing(keypoints)
    largest = np.abs(keypoints).max()
    if largest > MAX_COORDINATE:
        raise PhotoError(f"{name}: holds {largest:.3g}, which cannot be a pixel coordinate")
    if (reason := why_no_pose(keypoints, size)) is not None:
        raise PhotoError(f"{name}: {reason}")
    if size is not None:
        height, width = size
        outside = ((keypoints < 0) | (keypoints > [width, height])).any(axis=1) & ~absent
        if outside.any():
            hints = "".join(f"; {text}" for text in (hint, likely_slip(keypoints)) if text)
            raise PhotoError(
                f"{name}: outside the {width}x{height} picture: {joint_names(outside)}{hints}"
            )
    return keypoints


def choose(
    people: Sequence[tuple[Box, float | None]], person: int | None, name: str, flag: str
) -> int:
    """The index of a person among `people`, (box, score) each: number `person`, or the only one.

    Numbers start at 1. Raises PhotoError, which begins with `name`, if there is nobody, if there
    are several and no number was given (they are listed), and if the number does not exist.
    """
    if not people:
        raise PhotoError(f"{name}: no person found; a larger or clearer picture may help")
    if person is None and len(people) == 1:
        return 0
    if person is not None and 1 <= person <= len(people):
        return person - 1
    listed = "; ".join(
        f"{number}: {box[0]:.0f},{box[1]:.0f} to {box[2]:.0f},{box[3]:.0f}"
        + (f" (score {score:.2f})" if score is not None else "")
        for number, (box, score) in enumerate(people, start=1)
    )
    if person is None:
        raise PhotoError(f"{name}: shows {len(people)} people; choose one with {flag} N: {listed}")
    raise PhotoError(f"{name}: no person {person} for {flag}; there are {listed}")

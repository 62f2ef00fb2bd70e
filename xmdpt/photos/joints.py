"""Key points from files, text or JSON: reading, checking, and choosing one of several people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xmdpt.data.keypoints import (
    JOINTS,
    annotation_to_pixels,
    from_coco17,
    from_openpose_json,
    missing,
)
from xmdpt.photos.framing import Box, keypoints_box
from xmdpt.photos.loading import PhotoError

Units = Literal["pixels", "annotation"]
"""Pixels of the photo, or of the 256x256 frame of DeepFashion's annotations."""

MIN_JOINTS = 4
MAX_COORDINATE = 1e6
JOINT_SCORE = 0.3
SUFFIXES = (".txt", ".json")


def read_keypoints(
    path: str | Path,
    size: tuple[int, int] | None = None,
    units: Units = "pixels",
    person: int | None = None,
    flag: str = "person",
) -> np.ndarray:
    """Read and check the joints of one person: (18, 2) in pixels, -1 missing.

    Args:
        path: text with 18 rows x y [score], or COCO's 17; or JSON: OpenPose's ("people"), COCO's
            ("annotations" or "keypoints"), or a list of such rows.
        size: (H, W) of the photo that they belong to, if any.
        units: see `Units`; annotations without a photo are returned in pixels of a picture 176 wide
            and 256 high.
        person: number, from 1, where a file holds several people.
        flag: the option that sets `person`, for messages.

    Raises PhotoError for a file of another kind, and as `check_keypoints` does.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows write a byte order mark
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such key point file") from None
    except UnicodeDecodeError:
        raise PhotoError(f"{path}: is not text; key points are .txt or .json files") from None
    except OSError as error:
        raise PhotoError(f"{path}: not a readable key point file ({error.strerror})") from None
    try:
        keypoints = _parse(text, path, person, flag)
    except PhotoError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise PhotoError(f"{path}: {' '.join(str(error).split())}") from None
    if units == "annotation":
        size = size or (256, 176)
        return check_keypoints(annotation_to_pixels(keypoints, size), path, size)
    hint = "coordinates as in DeepFashion's annotations need units annotation"
    return check_keypoints(keypoints, path, size, hint)


def _parse(text: str, path: Path, person: int | None, flag: str) -> np.ndarray:
    if path.suffix.lower() != ".json":
        try:
            lines = (line.partition("#")[0].replace(",", " ") for line in text.splitlines())
            rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
        except ValueError as error:
            raise ValueError(f"needs 18 rows x y, or COCO's 17; {error}") from None
        return from_rows(rows)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error}); copy it again") from None
    if isinstance(content, dict) and "people" in content:
        require_openpose(content)
        everyone = [from_openpose_json(content, person=n) for n in range(len(content["people"]))]
    elif isinstance(content, dict):
        everyone = [_coco_rows(item) for item in _coco_items(content)]
    else:
        everyone = [from_rows(content)]
    # People without any joint do not count, in the numbering either.
    everyone = [keypoints for keypoints in everyone if not missing(keypoints).all()]
    people = [(keypoints_box(keypoints), None) for keypoints in everyone]
    return everyone[choose(people, person, str(path), flag)]


def require_openpose(content: dict[str, Any]) -> None:
    """Raise ValueError unless OpenPose's JSON holds a list of people."""
    people = content.get("people")
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise ValueError('OpenPose\'s "people" must be a list of {"pose_keypoints_2d": [...]}')


def _coco_items(content: dict[str, Any]) -> list[dict[str, Any]]:
    items = content.get("annotations", [content])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError('COCO\'s "annotations" must be a list of {"keypoints": [...]}')
    return items


def _coco_rows(item: dict[str, Any]) -> np.ndarray:
    if "keypoints" not in item:
        raise ValueError('holds neither "people" (OpenPose) nor "keypoints" (COCO)')
    values = np.asarray(item["keypoints"], dtype=np.float64).ravel()
    if values.size != 51:
        raise ValueError(f'COCO\'s "keypoints" must hold 51 numbers, not {values.size}')
    return from_rows(values.reshape(17, 3))


def from_rows(rows: object) -> np.ndarray:
    """Rows x y [score], 18 or COCO's 17 -> (18, 2), -1 missing.

    A joint is missing if x or y is -1, or if its score (or COCO's visibility) is below 0.3.
    """
    shape_error = "needs 18 rows x y, or COCO's 17, optionally with a score as third column"
    try:
        values = np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError(shape_error) from None
    if values.ndim != 2 or values.shape[0] not in (17, 18) or values.shape[1] not in (2, 3):
        raise ValueError(f"{shape_error}; has shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("holds NaN or infinite values; mark missing joints as -1 -1")
    points, scores = values[:, :2], values[:, 2] if values.shape[1] == 3 else None
    if len(values) == 17:
        return from_coco17(points, scores, threshold=JOINT_SCORE)
    absent = missing(points)
    if scores is not None:
        absent |= scores < JOINT_SCORE
    return np.where(absent[:, None], -1.0, points)


def check_keypoints(
    keypoints: np.ndarray,
    name: str | Path,
    size: tuple[int, int] | None = None,
    hint: str = "",
) -> np.ndarray:
    """Return the key points (18, 2) if they make a pose, in a picture of `size` (H, W) if given.

    Raises PhotoError, which begins with `name`, for fewer than 4 joints, joints that all lie within
    one pixel, and joints outside the picture; `hint` is appended for the last.
    """
    absent = missing(keypoints)
    largest = np.abs(keypoints).max()
    if largest > MAX_COORDINATE:
        raise PhotoError(f"{name}: holds {largest:.3g}, which cannot be a pixel coordinate")
    if size is not None:
        height, width = size
        outside = ((keypoints < 0) | (keypoints > [width, height])).any(axis=1) & ~absent
        if outside.any():
            hint = f"; {hint}" if hint else ""
            raise PhotoError(
                f"{name}: outside the {width}x{height} picture: {names(outside)}{hint}"
            )
    if (~absent).sum() < MIN_JOINTS:
        known = names(~absent) or "none"
        raise PhotoError(
            f"{name}: {len(JOINTS) - absent.sum()} joints ({known}), needs {MIN_JOINTS} or more"
        )
    if np.ptp(keypoints[~absent], axis=0).max() <= 1:
        raise PhotoError(
            f"{name}: all joints lie within one pixel; mark missing joints as -1 -1, and give "
            "pixels, not fractions of a picture"
        )
    return keypoints


def names(which: np.ndarray) -> str:
    """The names of the joints where `which` (18,) is true, separated by commas."""
    return ", ".join(name.replace("_", " ") for name, yes in zip(JOINTS, which, strict=True) if yes)


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

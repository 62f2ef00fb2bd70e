"""Other tools' lists of joints -> our 18, by the number of joints in them."""

from typing import Any

import numpy as np

from xmdpt.data.keypoints import JOINTS, mark_missing, missing

Layout = tuple[int | None, ...]
"""For each of our joints, its index in another list; None: the middle of the shoulders."""

COCO17: Layout = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's 17 have no neck; COCO-WholeBody's 133 begin with them."""

BODY_25: Layout = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""OpenPose's 25."""

HALPE: Layout = (0, 18, *COCO17[2:])
"""Halpe's 26 begin with COCO's 17, and have a neck; its 136 begin with the 26."""

MEDIAPIPE: Layout = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""MediaPipe's 33."""

LAYOUTS: dict[int, Layout] = {
    17: COCO17,
    18: tuple(range(18)),
    25: BODY_25,
    26: HALPE,
    33: MEDIAPIPE,
    133: COCO17,
    136: HALPE,
}
"""By the number of joints. Halpe's and COCO-WholeBody's others are feet, face and hands."""

KNOWN = (
    "18 rows x y [score] in OpenPose's order (or COCO's 17 or 133, OpenPose's 25, Halpe's 26 or "
    "136, MediaPipe's 33)"
)


def to_our_joints(points: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """Joints (N, 2) of any of `LAYOUTS`, optionally with scores (N,) -> ours (18, 2), -1 missing.

    `mark_missing` says which are missing. A neck that the list lacks is the midpoint of the
    shoulders, and missing if either shoulder is. Raises ValueError for another number of joints.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in LAYOUTS:
        raise ValueError(f"needs {KNOWN}; has shape {points.shape}")
    points = mark_missing(points, scores)
    layout = LAYOUTS[len(points)]
    keypoints = points[[0 if index is None else index for index in layout]]
    neck = JOINTS.index("neck")
    if layout[neck] is None:
        shoulders = keypoints[[neck + 1, neck + 4]]
        keypoints[neck] = -1 if missing(shoulders).any() else shoulders.mean(axis=0)
    return keypoints


def from_rows(rows: object) -> np.ndarray:
    """Rows x y [score] of any of `LAYOUTS` -> (18, 2), -1 missing; ValueError for other things."""
    try:
        values = np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"needs {KNOWN}") from None
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        raise ValueError(f"needs {KNOWN}; has shape {values.shape}")
    return to_our_joints(values[:, :2], values[:, 2] if values.shape[1] == 3 else None)


def from_openpose(person: dict[str, Any]) -> np.ndarray:
    """One of the people in OpenPose's JSON -> (18, 2), -1 missing.

    Reads `pose_keypoints_2d`: x, y, confidence of each of 18 (COCO) or 25 joints (BODY_25).
    """
    values = person.get("pose_keypoints_2d")
    values = np.asarray([] if values is None else values, dtype=np.float64).ravel()
    if values.size not in (54, 75):
        raise ValueError(f"pose_keypoints_2d must hold 18 or 25 x 3 numbers, not {values.size}")
    return from_rows(values.reshape(-1, 3))

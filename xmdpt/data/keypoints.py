"""The 18 body joints: their order, when one is missing, their frames, and the skeleton picture.

Every reader of joints, of data sets and of single files, takes these rules from here.
"""

import math
from typing import Literal

import cv2
import numpy as np

JOINTS = [
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
]
"""OpenPose's COCO-18 order; right is the person's right."""

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip

COLORS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip

FRAME_WIDTH, FRAME_HEIGHT, FRAME_MARGIN = 176, 256, 40
"""Annotations are in a 256x256 frame: the picture, 176 wide, between margins of 40 (padded)."""

Units = Literal["pixels", "annotation"]
"""Pixels of the photo, or of the 256x256 frame of DeepFashion's annotations."""

JOINT_SCORE = 0.3
"""A joint that scores less is missing, in every format; so is one of visibility 0 (COCO)."""
MAX_SCORE = 1.1
"""Heat maps overshoot 1 a little; what is larger is no score, unless all are COCO's 0, 1, 2."""
MIN_JOINTS = 4
MIN_EXTENT, MIN_PIXELS = 0.03, 3
"""A pose is larger than this share of its picture's longer side, and than this many pixels."""


def _as_keypoints(keypoints: np.ndarray) -> np.ndarray:
    keypoints = np.asarray(keypoints, dtype=np.float64)
    if keypoints.shape != (len(JOINTS), 2):
        raise ValueError(f"keypoints must have shape (18, 2), not {keypoints.shape}")
    return _as_finite(keypoints)


def _as_finite(points: np.ndarray) -> np.ndarray:
    if not np.isfinite(points).all():
        raise ValueError("holds NaN or infinite values; mark missing joints as -1 -1")
    return points


def missing(keypoints: np.ndarray) -> np.ndarray:
    """(..., 18, 2) -> (..., 18) whether a joint is missing: in the field, if either value is -1."""
    absent: np.ndarray = (np.asarray(keypoints) == -1).any(axis=-1)
    return absent


def mark_missing(points: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """Joints (N, 2) as a file holds them -> the same with -1 for those that are missing.

    Missing is a joint with a coordinate of -1, at exactly 0 0 (as OpenPose writes it), or whose
    score (N,) is below `JOINT_SCORE`. To be called before the frame is changed, which moves -1 and
    0. Raises ValueError for NaN and for scores that are none.
    """
    points = _as_finite(np.asarray(points, dtype=np.float64))
    absent = missing(points) | (points == 0).all(axis=-1)
    if scores is not None:
        scores = _as_finite(np.asarray(scores, dtype=np.float64))
        wrong = (scores > MAX_SCORE) if not np.isin(scores, (0, 1, 2)).all() else scores < 0
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"row {row + 1} has the score {scores[row]:g}, but scores end at 1 (COCO's "
                "visibility at 2); the columns are x y [score], without an index in front"
            )
        absent |= scores < JOINT_SCORE
    return np.where(absent[:, None], -1.0, points)


def joint_names(which: np.ndarray) -> str:
    """The names of the joints where `which` (18,) is true, separated by commas."""
    return ", ".join(name.replace("_", " ") for name, yes in zip(JOINTS, which, strict=True) if yes)


def why_no_pose(keypoints: np.ndarray, size: tuple[int, int] | None = None) -> str | None:
    """Why joints (18, 2) make no pose, in a picture of `size` (H, W) if given; None if they do.

    A pose has 4 joints or more, and is larger than 3 pixels and than 3% of its picture.
    """
    absent = missing(keypoints)
    there = np.asarray(keypoints)[~absent]
    if len(there) < MIN_JOINTS:
        known = joint_names(~absent) or "none"
        return f"{len(there)} joints ({known}), needs {MIN_JOINTS} or more"
    least = max(MIN_PIXELS, MIN_EXTENT * max(size or (0, 0)))
    if (extent := np.ptp(there, axis=0).max()) <= least:
        return (
            f"all joints lie within {extent:.1f} pixels; give pixels, not fractions of a picture "
            "(0 to 1 or -1 to 1), and mark missing joints as -1 -1"
        )
    return None


def to_padded(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (18, 2) of a picture of `size` (H, W) -> the padded frame; missing joints are -1."""
    height, width = size
    padded = keypoints * [FRAME_WIDTH / width, FRAME_HEIGHT / height] + [FRAME_MARGIN, 0]
    return np.where(missing(keypoints)[:, None], -1.0, padded)


def annotation_to_pixels(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Annotation frame (18, 2), x y -> pixels of a picture of `size` (height, width); -1 stays."""
    keypoints = _as_keypoints(keypoints)
    height, width = size
    scale = np.array([width / FRAME_WIDTH, height / FRAME_HEIGHT])
    pixels: np.ndarray = (keypoints - [FRAME_MARGIN, 0]) * scale
    pixels[missing(keypoints)] = -1
    return pixels


def draw_skeleton(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The skeleton picture, uint8 (H, W, 3) RGB, that X-MDPT and its predecessors condition on.

    keypoints (18, 2) are x, y in pixels of a picture of `size` (H, W), -1 missing. Joints are
    discs of radius 4; limbs are ellipses blended over them at 60%, so later limbs dim earlier
    joints. These sizes do not scale with the picture. Without any joint, the picture is black.
    """
    keypoints = _as_keypoints(keypoints)
    absent = missing(keypoints)
    canvas: np.ndarray = np.zeros((*size, 3), np.uint8)
    for (x, y), color, skip in zip(keypoints, COLORS, absent, strict=True):
        if not skip:
            cv2.circle(canvas, (int(x), int(y)), 4, color, -1)
    for (start, end), color in zip(LIMBS, COLORS[: len(LIMBS)], strict=True):
        if absent[start] or absent[end]:
            continue
        (x0, y0), (x1, y1) = keypoints[start], keypoints[end]
        center = (int((x0 + x1) / 2), int((y0 + y1) / 2))
        length = math.hypot(x0 - x1, y0 - y1)
        angle = math.degrees(math.atan2(y0 - y1, x0 - x1))
        outline = cv2.ellipse2Poly(center, (int(length / 2), 4), int(angle), 0, 360, 1)
        limb = cv2.fillConvexPoly(canvas.copy(), np.asarray(outline), color)
        canvas = cv2.addWeighted(canvas, 0.4, limb, 0.6, 0)
    return np.ascontiguousarray(canvas[..., ::-1])

"""The 18 body joints: their order, their coordinate frames, and the skeleton picture."""

import math
from typing import Any

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


def _as_keypoints(keypoints: np.ndarray) -> np.ndarray:
    keypoints = np.asarray(keypoints, dtype=np.float64)
    if keypoints.shape != (len(JOINTS), 2):
        raise ValueError(f"keypoints must have shape (18, 2), not {keypoints.shape}")
    if not np.isfinite(keypoints).all():
        raise ValueError("keypoints hold NaN or infinite values; mark missing joints by -1")
    return keypoints


def missing(keypoints: np.ndarray) -> np.ndarray:
    """(..., 18, 2) -> (..., 18) whether a joint is missing: in the field, if either value is -1."""
    absent: np.ndarray = (np.asarray(keypoints) == -1).any(axis=-1)
    return absent


COCO17 = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""For each of our joints, its index among COCO's 17, which have no neck."""

BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""For each of our joints, its index among OpenPose's 25."""


def from_coco17(
    points: np.ndarray, scores: np.ndarray | None = None, threshold: float = 0.3
) -> np.ndarray:
    """COCO's joints (17, 2), optionally with scores or visibilities (17,) -> ours (18, 2).

    Joints that score below `threshold` or have a coordinate of -1 are missing (-1). The neck is the
    midpoint of the shoulders, and missing if either shoulder is.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (17, 2):
        raise ValueError(f"COCO key points must have shape (17, 2), not {points.shape}")
    points = np.where(missing(points)[:, None], -1.0, points)
    if scores is not None:
        points[np.asarray(scores) < threshold] = -1
    order = [0 if index is None else index for index in COCO17]
    keypoints = points[order]
    neck, shoulders = JOINTS.index("neck"), points[[5, 6]]
    keypoints[neck] = -1 if missing(shoulders).any() else shoulders.mean(axis=0)
    return _as_keypoints(keypoints)


def from_openpose_json(content: dict[str, Any], person: int = 0) -> np.ndarray:
    """Person `person` in the content of OpenPose's JSON -> (18, 2), -1 missing.

    Reads `pose_keypoints_2d` of 18 (COCO) or 25 joints (BODY_25): x, y, confidence. A confidence
    of 0 means a missing joint.
    """
    people = content.get("people", [])
    if not 0 <= person < len(people):
        raise ValueError(f"no person {person} in an OpenPose JSON of {len(people)} people")
    values = np.asarray(people[person].get("pose_keypoints_2d", []), dtype=np.float64).ravel()
    if values.size not in (54, 75):
        raise ValueError(f"pose_keypoints_2d must hold 18 or 25 x 3 numbers, not {values.size}")
    joints = values.reshape(-1, 3)
    if len(joints) == 25:
        joints = joints[list(BODY_25)]
    return _as_keypoints(np.where(joints[:, 2:] > 0, joints[:, :2], -1.0))


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

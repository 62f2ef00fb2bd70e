"""Retargeting a pose: the directions of one skeleton with the proportions of another."""

import numpy as np

from xmdpt.data.keypoints import JOINTS, LIMBS, missing

PARENTS = {child: parent for parent, child in LIMBS}
"""Joint -> its parent; the neck is the root and has none."""

ORDER = (1, 0, 2, 5, 8, 11, 3, 6, 9, 12, 4, 7, 10, 13, 14, 15, 16, 17)
"""Parents before children."""

TURNING = [JOINTS.index(f"{side}_{part}") for side in ("right", "left")
           for part in ("shoulder", "eye", "ear")]  # fmt: skip
"""Joints that end a width of the body. Widths shrink as it turns, so they tell no proportions."""

SWINGING = [JOINTS.index(name) for name in
            ("nose", "right_elbow", "right_wrist", "left_elbow", "left_wrist")]  # fmt: skip
"""Joints at the end of a limb that turns to the camera as readily as to the side: neck and arms."""


def _mirrored(joint: int) -> int:
    name = JOINTS[joint]
    side, _, part = name.partition("_")
    return JOINTS.index({"right": "left_", "left": "right_"}[side] + part) if part else joint


MIRROR = [_mirrored(joint) for joint in range(len(JOINTS))]
"""Joint -> the one on the body's other side; in the middle, itself."""


def limb_lengths(keypoints: np.ndarray) -> np.ndarray:
    """(18,) length of the limb from each joint's parent to it; NaN where either is missing."""
    absent = missing(keypoints)
    lengths = np.full(len(JOINTS), np.nan)
    for child, parent in PARENTS.items():
        if not absent[child] and not absent[parent]:
            lengths[child] = np.linalg.norm(keypoints[child] - keypoints[parent])
    return lengths


def _body_lengths(keypoints: np.ndarray) -> np.ndarray:
    """(18,) the longer of each limb and the one on the other side; NaN for widths and unknown ones.

    A body's sides are alike, and a picture only shortens: the longer one is nearer to the body's.
    """
    lengths = limb_lengths(keypoints)
    lengths[TURNING] = np.nan
    longer = np.fmax(lengths, lengths[MIRROR])
    return np.where(longer > 0, longer, np.nan)


def rescale_pose(pose: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Give `pose` (18, 2) the proportions of `source` (18, 2), and leave its size and its place.

    Both must have the same undistorted aspect. All directions stay. A limb grows by the ratio of
    the source's length to the pose's, relative to the median of these ratios; each length is the
    longer one of the body's two sides. Neck and arms go half of that way, as the square root: about
    half of what they differ by is how they are turned. Widths (shoulders, eyes, ears), which depend
    on the view even more, and limbs that either lacks on both sides do not grow. Then all is scaled
    to be as large as it was, above the same ground: the longer side of the joints' box, the height
    of the lowest joint and the neck's x (without a neck, another joint's) are what they were.
    Missing joints stay missing.

    Raises ValueError if the two skeletons have no limb in common.
    """
    pose = np.asarray(pose, np.float64)
    ratios = _body_lengths(np.asarray(source, np.float64)) / _body_lengths(pose)
    if np.isnan(ratios).all():
        raise ValueError("source and pose have no limb in common to compare their proportions by")
    ratios /= np.nanmedian(ratios)
    ratios[SWINGING] **= 0.5
    ratios = np.nan_to_num(ratios, nan=1.0)
    there = ~missing(pose)
    scaled = pose.copy()
    for joint in ORDER:
        anchor, ratio = PARENTS.get(joint), ratios[joint]
        while anchor is not None and not there[anchor]:
            anchor, ratio = PARENTS.get(anchor), 1.0
        if there[joint] and anchor is not None:
            scaled[joint] = scaled[anchor] + (pose[joint] - pose[anchor]) * ratio
    root = next(joint for joint in ORDER if there[joint])
    size = np.ptp(pose[there], axis=0).max() / np.ptp(scaled[there], axis=0).max()
    old, new = (np.array([points[root, 0], points[there, 1].max()]) for points in (pose, scaled))
    scaled[there] = (scaled[there] - new) * size + old
    return scaled

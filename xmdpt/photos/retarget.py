"""A pose in other proportions: the directions of one skeleton, the limb lengths of another."""

import numpy as np

from xmdpt.data.keypoints import JOINTS, LIMBS, missing

PARENTS = {child: parent for parent, child in LIMBS}
"""Joint -> the joint that it hangs from; the neck hangs from none."""

ORDER = (1, 0, 2, 5, 8, 11, 3, 6, 9, 12, 4, 7, 10, 13, 14, 15, 16, 17)
"""Parents before children."""

TURNING = [JOINTS.index(f"{side}_{part}") for side in ("right", "left")
           for part in ("shoulder", "eye", "ear")]  # fmt: skip
"""Joints at the ends of widths, which shrink when a body turns: they say nothing of proportions."""


def _mirrored(joint: int) -> int:
    name = JOINTS[joint]
    side, _, part = name.partition("_")
    return JOINTS.index({"right": "left_", "left": "right_"}[side] + part) if part else joint


def limb_lengths(keypoints: np.ndarray) -> np.ndarray:
    """(18,) length of the limb that ends in each joint, NaN where an end is missing."""
    absent = missing(keypoints)
    lengths = np.full(len(JOINTS), np.nan)
    for child, parent in PARENTS.items():
        if not absent[child] and not absent[parent]:
            lengths[child] = np.linalg.norm(keypoints[child] - keypoints[parent])
    return lengths


def rescale_pose(pose: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Give `pose` (18, 2) the limb lengths of `source` (18, 2), both in one undistorted frame.

    The root stays where it is (the neck; of a part without a neck, its first joint), and so do
    the directions of all limbs. Torso, neck, arms and legs take the source's lengths; a limb that
    the source lacks takes its mirror image's. Widths (shoulders, eyes, ears), which depend on the
    view, and limbs known of neither side grow by the median ratio of the others. Lengths are
    those in the picture: a limb that points at the camera looks short in either. Missing joints
    stay missing. Raises ValueError if the two skeletons have no such limb in common.
    """
    pose = np.asarray(pose, np.float64)
    own, theirs = limb_lengths(pose), limb_lengths(np.asarray(source, np.float64))
    mirror = theirs[[_mirrored(joint) for joint in range(len(JOINTS))]]
    theirs = np.where(np.isnan(theirs), mirror, theirs)
    theirs[TURNING] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(own > 0, theirs / own, np.nan)
    if np.isnan(ratios).all():
        raise ValueError("source and pose have no limb in common: proportions cannot be compared")
    overall = np.nanmedian(ratios)
    ratios = np.where(np.isnan(ratios), overall, ratios)
    absent = missing(pose)
    scaled = pose.copy()
    for joint in ORDER:
        anchor, ratio = PARENTS.get(joint), ratios[joint]
        while anchor is not None and absent[anchor]:
            anchor, ratio = PARENTS.get(anchor), overall
        if not absent[joint] and anchor is not None:
            scaled[joint] = scaled[anchor] + (pose[joint] - pose[anchor]) * ratio
    return scaled

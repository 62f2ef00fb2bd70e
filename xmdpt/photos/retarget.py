"""A pose in other proportions: the directions of one skeleton, the limb lengths of another."""

import numpy as np

from xmdpt.data.keypoints import JOINTS, LIMBS, missing

PARENTS = {child: parent for parent, child in LIMBS}
"""Joint -> the joint that it hangs from; the neck hangs from none."""

ORDER = (1, 0, 2, 5, 8, 11, 3, 6, 9, 12, 4, 7, 10, 13, 14, 15, 16, 17)
"""Parents before children."""


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
    the directions of all limbs. A limb that the source lacks takes its mirror image's length;
    failing that, its own times the median ratio of the others. Limbs that point at the camera
    look short in either picture: the rule knows lengths in the picture only. Missing joints stay
    missing. Raises ValueError if the two skeletons have no limb in common.
    """
    pose = np.asarray(pose, np.float64)
    own, theirs = limb_lengths(pose), limb_lengths(np.asarray(source, np.float64))
    mirror = theirs[[_mirrored(joint) for joint in range(len(JOINTS))]]
    theirs = np.where(np.isnan(theirs), mirror, theirs)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(own > 0, theirs / own, np.nan)
    if np.isnan(ratios).all():
        raise ValueError("source and pose have no limb in common: proportions cannot be compared")
    ratios = np.where(np.isnan(ratios), np.nanmedian(ratios), ratios)
    absent = missing(pose)
    scaled = pose.copy()
    for joint in ORDER:
        anchor = PARENTS.get(joint)
        ratio = ratios[joint]
        while anchor is not None and absent[anchor]:
            anchor = PARENTS.get(anchor)
            ratio = np.nanmedian(ratios)
        if absent[joint] or anchor is None:
            continue
        scaled[joint] = scaled[anchor] + (pose[joint] - pose[anchor]) * ratio
    return scaled

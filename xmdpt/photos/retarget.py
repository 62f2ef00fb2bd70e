"""Retargeting a pose: the directions of one skeleton with the limb lengths of another."""

import numpy as np

from xmdpt.data.keypoints import JOINTS, LIMBS, missing

PARENTS = {child: parent for parent, child in LIMBS}
"""Joint -> its parent; the neck is the root and has none."""

ORDER = (1, 0, 2, 5, 8, 11, 3, 6, 9, 12, 4, 7, 10, 13, 14, 15, 16, 17)
"""Parents before children."""

TURNING = [JOINTS.index(f"{side}_{part}") for side in ("right", "left")
           for part in ("shoulder", "eye", "ear")]  # fmt: skip
"""Joints that end a width of the body. Widths shrink as it turns, so they tell no proportions."""


def _mirrored(joint: int) -> int:
    name = JOINTS[joint]
    side, _, part = name.partition("_")
    return JOINTS.index({"right": "left_", "left": "right_"}[side] + part) if part else joint


def limb_lengths(keypoints: np.ndarray) -> np.ndarray:
    """(18,) length of the limb from each joint's parent to it; NaN where either is missing."""
    absent = missing(keypoints)
    lengths = np.full(len(JOINTS), np.nan)
    for child, parent in PARENTS.items():
        if not absent[child] and not absent[parent]:
            lengths[child] = np.linalg.norm(keypoints[child] - keypoints[parent])
    return lengths


def rescale_pose(pose: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Give `pose` (18, 2) the limb lengths of `source` (18, 2).

    Both must have the same undistorted aspect. The neck stays in place (in a part that is not
    connected to it, the first joint), and so do the directions of all limbs. Torso, neck, arms and
    legs take the source's lengths, or those of the limb on the other side where the source lacks
    one. Widths (shoulders, eyes, ears), which depend on the view, and limbs that the source lacks
    on both sides are scaled by the median ratio of the other limbs. Lengths are measured in the
    picture, so a limb that points at the camera is short. Missing joints stay missing.

    Raises ValueError if the two skeletons have no limb in common.
    """
    pose = np.asarray(pose, np.float64)
    own, theirs = limb_lengths(pose), limb_lengths(np.asarray(source, np.float64))
    mirror = theirs[[_mirrored(joint) for joint in range(len(JOINTS))]]
    theirs = np.where(np.isnan(theirs), mirror, theirs)
    theirs[TURNING] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(own > 0, theirs / own, np.nan)
    if np.isnan(ratios).all():
        raise ValueError("source and pose have no limb in common to compare their proportions by")
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

"""Drawn skeleton pictures: which are some, and their joints, read back by the colours."""

import itertools

import cv2
import numpy as np

from xmdpt.data.keypoints import COLORS, JOINTS, LIMBS, MIN_JOINTS, draw_skeleton, missing

DISCS = np.array(COLORS)[:, ::-1]
"""RGB of the joints' discs as `draw_skeleton` shows them."""
LIMB = 0.6
"""The part of a limb's colour that is left over black, see `draw_skeleton`."""
BARE = LIMB * DISCS[: len(LIMBS)]
TOLERANCE = 5
"""Levels by which a colour may be off: more, and limbs over discs look like other joints."""
BLACK, MOST_BLACK, SHOWN = 40, 0.6, 0.5
"""A skeleton is black up to this level, in this share of it, and shows this share of its limbs."""
BRIGHT, SATURATED, HUES = 64, 0.9, 8
"""Of what is not black: from which level it counts, the share of pure colours, hues out of 12."""
MIXED = 0.5
"""The share of pure colours below which even a picture on black is a photo."""
LONG = 16
"""Pixels from which a limb is seen between the discs at its ends."""
WINDOW, STEPS = 12, range(-3, 4)
"""Pixels around a joint that are compared with a drawing, and by how much it is moved."""


def _is_mostly_black(picture: np.ndarray) -> bool:
    return bool((picture.max(axis=2) <= BLACK).mean() >= MOST_BLACK)


def _pure_colours(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The pure colours (N, 3) of what is not black, and their share of it."""
    bright = picture[picture.max(axis=2) >= BRIGHT].astype(int)
    pure = bright[2 * bright.min(axis=1) <= bright.max(axis=1)]
    return pure, len(pure) / max(len(bright), 1)


def is_skeleton(picture: np.ndarray) -> bool:
    """Whether uint8 (H, W, 3) is a skeleton as OpenPose draws it: a rainbow of limbs on black.

    Scaled or blurred ones are told too, whose joints `read_skeleton` cannot read.
    """
    if not _is_mostly_black(picture):  # first, since of a bright photo all would be copied below
        return False
    pure, share = _pure_colours(picture)
    if share < SATURATED:
        return False
    red, green, blue = pure.T
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    sectors = np.bincount(((angle / (2 * np.pi) % 1) * 12).astype(int) % 12, minlength=12)
    return bool((sectors >= 0.01 * len(pure)).sum() >= HUES)


def is_photo(picture: np.ndarray) -> bool:
    """Whether uint8 (H, W, 3) has too many mixed colours for a skeleton, most of all off black."""
    bright = bool((picture.max(axis=2) >= BRIGHT).any())
    least = MIXED if _is_mostly_black(picture) else SATURATED
    return bright and _pure_colours(picture)[1] < least


def read_skeleton(picture: np.ndarray) -> np.ndarray | None:
    """Joints (18, 2) in pixels of a skeleton picture, uint8 (H, W, 3), -1 missing.

    Both orders of the colours are tried, that of `draw_skeleton` and the reverse, ControlNet's.
    None if the picture is no skeleton.
    """
    # Photos on black are told first: to look for each joint in a large one takes a minute.
    if not _is_mostly_black(picture) or _pure_colours(picture)[1] < SATURATED:
        return None
    orders = (picture, np.ascontiguousarray(picture[..., ::-1]))
    read = [_read_joints(one) for one in orders]
    ordered, (points, share) = max(zip(orders, read, strict=True), key=lambda item: item[1][1])
    if share < SHOWN or (~missing(points)).sum() < MIN_JOINTS:
        return None
    return _refine(ordered, points)


def _read_joints(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Joints (18, 2) that a limb confirms, and the share of the limbs that are seen."""
    points = _read_discs(picture)
    shown = _limbs_shown(picture, points)
    for joint in range(len(JOINTS)):
        limbs = [seen for limb, seen in shown.items() if joint in LIMBS[limb]]
        if limbs and not any(limbs):
            points[joint] = -1
    return points, float(np.mean(list(shown.values()))) if shown else 0.0


def _like(picture: np.ndarray, color: np.ndarray) -> np.ndarray:
    near: np.ndarray = np.abs(picture.astype(np.int16) - color).max(axis=2) <= TOLERANCE
    return near


def _read_discs(picture: np.ndarray) -> np.ndarray:
    """The middles of the discs: of one that is bare in part, else of the nearest to its limbs."""
    points = np.full((len(JOINTS), 2), -1.0)
    found = [_discs(picture, joint) for joint in range(len(JOINTS))]
    for joint, discs in enumerate(found):
        if discs and max(discs)[0] > 0:
            points[joint] = max(discs)[1]
    for joint, discs in enumerate(found):
        others = [sum(ends) - joint for ends in LIMBS if joint in ends]
        beside = points[others][~missing(points[others])]
        if missing(points)[joint] and discs and len(beside):
            middles = np.array([middle for _, middle in discs])
            far = np.linalg.norm(middles[:, None] - beside, axis=2).sum(axis=1)
            points[joint] = middles[far.argmin()]
    return points


def _discs(picture: np.ndarray, joint: int) -> list[tuple[int, tuple[float, float]]]:
    """(pixels seen bare, middle) of what may be the joint's disc, bare and under its limbs.

    A disc under a limb can have the very shade of another limb over black, which then says nothing.
    """
    limbs = [limb for limb, ends in enumerate(LIMBS) if joint in ends]
    under = [(1 - LIMB) * DISCS[joint] + LIMB * DISCS[limb] for limb in limbs]
    shades = [shade for shade in under if np.abs(BARE - shade).max(axis=1).min() > TOLERANCE]
    bare = _like(picture, DISCS[joint])
    mask = np.any([bare, *(_like(picture, shade) for shade in shades)], axis=0)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    discs = []
    for label in range(1, count):
        left, top, width, height, _ = boxes[label].tolist()
        inside = labels[top : top + height, left : left + width]
        rows, columns = np.nonzero(inside == label)
        rows, columns = rows + top, columns + left
        middle, _ = cv2.minEnclosingCircle(np.c_[columns, rows].astype(np.float32))
        discs.append((int(bare[rows, columns].sum()), (float(middle[0]), float(middle[1]))))
    return discs


def _limbs_shown(picture: np.ndarray, points: np.ndarray) -> dict[int, bool]:
    """Of each long limb between joints found: whether its colour is somewhere along it."""
    absent = missing(points)
    shown = {}
    for limb, (start, end) in enumerate(LIMBS):
        if absent[start] or absent[end] or np.ptp(points[[start, end]], axis=0).max() < LONG:
            continue
        along = np.linspace(points[start], points[end], 11)[1:-1].astype(int)
        pixels = picture[along[:, 1], along[:, 0]].astype(int)
        shown[limb] = bool((np.abs(pixels - BARE[limb]).max(axis=1) <= TOLERANCE).any())
    return shown


def _refine(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move each joint by a few pixels to where the drawing around it equals the picture."""
    points = points.copy()
    for joint in map(int, np.flatnonzero(~missing(points))):
        if _difference(picture, points, joint, (0, 0))[0]:
            moves = itertools.product(STEPS, STEPS)
            tried = {move: _difference(picture, points, joint, move) for move in moves}
            points[joint] += min(tried, key=lambda move: tried[move])
    return points


def _difference(
    picture: np.ndarray, points: np.ndarray, joint: int, move: tuple[int, int]
) -> tuple[int, int]:
    """Pixels around a joint that a drawing with the joint moved gets wrong, and the distance."""
    left, top = np.maximum(points[joint].astype(int) - WINDOW, 0)
    shown = picture[top : top + 2 * WINDOW, left : left + 2 * WINDOW]
    moved = points - [left, top]
    moved[joint] += move
    moved[missing(points)] = -1
    drawn = draw_skeleton(moved, shown.shape[:2])
    wrong = np.abs(drawn.astype(int) - shown).max(axis=2) > TOLERANCE
    return int(wrong.sum()), abs(move[0]) + abs(move[1])

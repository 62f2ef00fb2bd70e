"""Whether joints belong to their pictures: by frame, by what a picture shows, by how bodies look.

These are guesses, which can be wrong: they make remarks, never errors.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from xmdpt.data.keypoints import (
    FRAME_HEIGHT,
    FRAME_MARGIN,
    FRAME_WIDTH,
    JOINTS,
    annotation_to_pixels,
    missing,
    why_no_pose,
)

WHITE = 245
"""From this grey level on, a pixel is the white of DeepFashion's background."""
WHITE_PICTURE = 0.2
"""Share of white pixels from which a picture has a white background."""
MOST_ON_WHITE = 0.25
"""Share of a set's joints up to which white clothes explain that joints lie on white."""
OFF_MIDDLE = 0.15
"""Share of the width by which poses may lie off the middle before a shift of 40 is suspected."""
FAR, THIN, STEEP = 3, 0.02, 2
"""How often smaller a pose is without its outlier; how thin a line is; how steep a body stands."""
ENOUGH = 6
"""Joints up to which one that lies far off says nothing: an ankle below a head."""

HEAD, FEET = [0, 1, 2, 5, 14, 15, 16, 17], [9, 10, 12, 13]
HIPS = [8, 11]
UPPER_BODY = [2, 5, 11, 8]
"""The shoulders and hips, in turn."""
INNER, SMALL = 0.6, 0.003
"""How far to the corners of an upper body its clothes are looked at; how little of a picture says
nothing, as where a person is seen from the side."""
ANOTHER_COLOUR = 40.0
"""From this difference in CIELAB on, light and shadow do not explain another colour."""


def on_white(points: np.ndarray, picture: np.ndarray) -> float | None:
    """The share of the joints (18, 2) that lie on the white background of a picture, or beside it.

    points are pixels of the picture, uint8 (H, W, 3). None if it has no white background, or the
    pose no joints.
    """
    there = points[~missing(points)]
    white = picture.min(axis=2) >= WHITE
    if not len(there) or white.mean() < WHITE_PICTURE:
        return None
    height, width = white.shape
    x, y = np.floor(there).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    shown = np.ones(len(there), dtype=bool)
    shown[inside] = white[y[inside], x[inside]]
    return float(shown.mean())


def upper_body(points: np.ndarray, picture: np.ndarray) -> np.ndarray | None:
    """The mean colour between shoulders and hips in CIELAB, (3,); None where too little is seen.

    points (18, 2) are pixels of the picture, uint8 (H, W, 3).
    """
    corners = points[UPPER_BODY]
    if missing(corners).any():
        return None
    middle = corners.mean(axis=0)
    inner = np.rint(middle + INNER * (corners - middle)).astype(np.int32)
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(inner), [1])
    if mask.mean() < SMALL:
        return None
    seen = picture[mask > 0][None].astype(np.float32) / 255
    colour: np.ndarray = cv2.cvtColor(seen, cv2.COLOR_RGB2LAB)[0].mean(axis=0)
    return colour


def looks_annotated(points: np.ndarray, picture: np.ndarray) -> bool:
    """Whether joints (18, 2), taken as pixels, fit better as DeepFashion's annotations.

    What the picture shows decides where its background is white, else the middle does: people of
    DeepFashion stand there.
    """
    size = picture.shape[:2]
    moved = annotation_to_pixels(points, size)
    there = ~missing(points)
    inside = (moved[there] >= -1) & (moved[there] <= [size[1] + 1, size[0] + 1])
    if not there.any() or not inside.all():
        return False
    taken, other = on_white(points, picture), on_white(moved, picture)
    if taken is not None and other is not None:
        return taken - other > MOST_ON_WHITE
    return _off_middle(points, size) - _off_middle(moved, size) > OFF_MIDDLE


def _off_middle(points: np.ndarray, size: tuple[int, int]) -> float:
    """Distance of a pose's middle from the picture's, as a share of its width and height."""
    there = points[~missing(points)]
    middle = (there.min(axis=0) + there.max(axis=0)) / 2
    return float(np.abs(middle / [size[1], size[0]] - 0.5).sum())


def likely_slip(points: np.ndarray) -> str | None:
    """What is probably wrong with joints (18, 2) of a pose that hardly anybody takes, or None."""
    there = ~missing(points)
    if why_no_pose(points) is not None:
        return None
    if (far := _outlier(points, there)) is not None:
        x, y = points[far]
        name = JOINTS[far].replace("_", " ")
        return f"the {name} lies far from all other joints, at {x:g},{y:g}: a slip in the file?"
    sides = np.linalg.svd(points[there] - points[there].mean(axis=0), compute_uv=False)
    if sides[1] < THIN * sides[0]:
        return "all joints lie on one line: is a column repeated, or are they placeholders?"
    right, down = _body_axis(points, there)
    if right > STEEP * abs(down):
        return "the person lies, feet to the right: are x and y swapped?"
    if -down > STEEP * abs(right):
        return "the head lies below the feet: does y count from the lower edge?"
    return None


def _body_axis(points: np.ndarray, there: np.ndarray) -> tuple[float, float]:
    """From the head to the feet, or to the hips without them, x and y; 0 0 if either is missing."""
    ends = []
    for parts in ((HEAD,), (FEET, HIPS)):
        known = [[joint for joint in part if there[joint]] for part in parts]
        part = next(filter(None, known), None)
        if part is None:
            return 0.0, 0.0
        ends.append(points[part].mean(axis=0))
    right, down = ends[1] - ends[0]
    return float(right), float(down)


def _outlier(points: np.ndarray, there: np.ndarray) -> int | None:
    """The joint without which the pose would be much smaller, if there is one."""
    if there.sum() <= ENOUGH:
        return None
    whole = np.ptp(points[there], axis=0).max()
    rest = {
        int(joint): np.ptp(points[there & (np.arange(len(JOINTS)) != joint)], axis=0).max()
        for joint in np.flatnonzero(there)
    }
    joint = min(rest, key=lambda one: rest[one])
    return joint if FAR * rest[joint] < whole else None


def set_remarks(keypoints: np.ndarray, shares: Sequence[float | None] = ()) -> list[str]:
    """What does not fit about the joints of a whole data set: one sentence for each finding.

    keypoints (N, 18, 2) are in the padded frame, -1 missing; shares are those of `on_white`.
    """
    poses = [pose[~missing(pose)] for pose in keypoints if why_no_pose(pose) is None]
    if not poses:
        return []
    scale, origin = [FRAME_WIDTH, FRAME_HEIGHT], [FRAME_MARGIN, 0]
    parts = [(pose - origin) / scale for pose in poses]
    middle = np.median([(part[:, 0].min() + part[:, 0].max()) / 2 for part in parts])
    reach = np.quantile(np.concatenate(parts), 0.98, axis=0)
    said = []
    if reach.max() < 0.6:
        said.append(
            f"joints fill only the upper left of their pictures ({reach[0]:.0%} of the width, "
            f"{reach[1]:.0%} of the height): are they pixels of another resolution?"
        )
    elif middle < 0.5 - OFF_MIDDLE:
        said.append(
            f"poses lie {0.5 - middle:.0%} of the width left of the middle: files in pose/ hold "
            "DeepFashion's 256x256 frame, whose x is 40 more than a pixel of 176x256"
        )
    elif middle > 0.5 + OFF_MIDDLE:
        said.append(
            f"poses lie {middle - 0.5:.0%} of the width right of the middle: are these coordinates "
            "of DeepFashion's 256x256 frame, in a table of pixels?"
        )
    known = [share for share in shares if share is not None]
    if known and (mean := float(np.mean(known))) > MOST_ON_WHITE:
        said.append(
            f"{mean:.0%} of the joints lie on the white background of their pictures, beside the "
            "people: are they in another frame? docs/reproduce/data.md says which numbers are "
            "expected"
        )
    return said

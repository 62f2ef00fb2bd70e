"""The poses of the page: those to start from, and what its editor or another client sends."""

import json
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import draw_skeleton
from xmdpt.data.layouts import from_rows
from xmdpt.photos.framing import CANVAS
from xmdpt.photos.joints import check_keypoints
from xmdpt.photos.loading import PhotoError

SHRUNK = 6
"""How many times as small the pictures of the poses are."""


@cache
def stored_poses() -> dict[str, list[list[int]]]:
    """Name -> 18 joints [x, y] on CANVAS, [-1, -1] if missing, of people rendered by xmdpt."""
    text = files("xmdpt.demo").joinpath("poses.json").read_text()
    poses: dict[str, list[list[int]]] = json.loads(text)
    return poses


def pose_pictures() -> list[tuple[Image.Image, str]]:
    """A small skeleton picture of each stored pose, and its name."""
    pictures = []
    for name, joints in stored_poses().items():
        points = np.array(joints, float)
        small = np.where(points == -1, -1, points / SHRUNK)
        picture = draw_skeleton(small, (CANVAS[0] // SHRUNK, CANVAS[1] // SHRUNK))
        pictures.append((Image.fromarray(picture), name))
    return pictures


def parse_pose(text: str) -> np.ndarray:
    """The editor's JSON, or whatever else a client sends -> checked joints (18, 2) on CANVAS."""
    try:
        points = from_rows(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise PhotoError(f"the pose: {error}") from None
    return check_keypoints(points, "the pose", CANVAS)

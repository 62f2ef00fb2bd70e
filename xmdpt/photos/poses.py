"""The forms in which the pipeline takes pictures and poses, and the skeletons that it draws."""

from collections.abc import Callable
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from xmdpt.data.keypoints import JOINTS, draw_skeleton, missing
from xmdpt.data.layouts import LAYOUTS, from_rows
from xmdpt.photos.formats import people_in
from xmdpt.photos.framing import keypoints_box, person_frame, squash
from xmdpt.photos.joints import MALFORMED, check_keypoints, read_keypoints
from xmdpt.photos.loading import check_size, to_rgb

Picture = Image.Image | np.ndarray
Pose = Picture | torch.Tensor | list[Any] | dict[str, Any] | str | Path
PoseFinder = Callable[[Image.Image, int], np.ndarray]
"""(photo, size) -> joints (18, 2) in pixels of the photo resized to a square, -1 missing."""


def read_picture(picture: Picture, size: int) -> np.ndarray:
    """The picture resized to a square, uint8 (size, size, 3).

    A PIL picture of any mode is converted as `photos.loading.load_photo` does. Raises ValueError
    for anything but a picture.
    """
    return squash(_as_image(picture), size)


def _as_image(picture: object) -> Image.Image:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                "a picture must be a PIL image or uint8 (H, W, 3), "
                f"not {picture.dtype} {picture.shape}"
            )
        height, width, _ = picture.shape
        check_size((width, height), "the picture")
        return Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise ValueError(
            f"a picture must be a PIL image or uint8 (H, W, 3), not {type(picture).__name__}"
        )
    check_size(picture.size, "the picture")
    return to_rgb(picture, "the picture")


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor on any device and of any type; bfloat16, which NumPy lacks, becomes float32."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()


def as_list(value: Any) -> list[Any]:
    """Pictures or poses as a list, from a sequence, a batch in one array, or a single one."""
    if isinstance(value, torch.Tensor):
        value = _to_numpy(value)
    if isinstance(value, np.ndarray):
        rows = value.ndim == 3 and value.shape[1] in LAYOUTS and value.shape[2] in (2, 3)
        batch = value.ndim == 4 or (rows and value.dtype != np.uint8)
        return list(value) if batch else [value]
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, list):
        return [value]
    return [value] if _is_rows(value) else value


def _is_rows(value: list[Any]) -> bool:
    """Whether a list holds the rows x y [score] of a single pose."""
    return bool(value) and all(
        isinstance(row, list | tuple | np.ndarray)
        and len(row) in (2, 3)
        and all(isinstance(number, Number) for number in row)
        for row in value
    )


def draw_pose(
    pose: Pose, size: int, finder: PoseFinder | None = None, name: str = "pose"
) -> np.ndarray:
    """The skeleton picture, uint8 (size, size, 3), of one pose.

    Args:
        pose: one of
            - a skeleton picture;
            - key points in pixels of the square picture: rows x y [score] of any of
              `xmdpt.data.layouts.LAYOUTS`;
            - the content of a JSON file of one person, or a path to it or to a text file of rows,
              in pixels of any picture: these are framed to the person.
        finder: if given, pictures are photos, and it finds their joints.
        name: with which messages begin.

    Raises ValueError, which says what is wrong, also for fewer than 4 joints and for joints outside
    the square picture.
    """
    if isinstance(pose, str | Path):
        return draw_skeleton(_framed(read_keypoints(pose), size), (size, size))
    if isinstance(pose, dict):
        keypoints = check_keypoints(_only_person(pose, name), name)
        return draw_skeleton(_framed(keypoints, size), (size, size))
    if isinstance(pose, torch.Tensor):
        pose = _to_numpy(pose)
    if isinstance(pose, list | tuple) or (isinstance(pose, np.ndarray) and pose.ndim == 2):
        try:
            keypoints = from_rows(pose)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        hint = "rows must be in pixels of the square picture; files are framed to the person"
        return draw_skeleton(check_keypoints(keypoints, name, (size, size), hint), (size, size))
    if finder is None:
        return read_picture(pose, size)
    keypoints = np.asarray(finder(_as_image(pose), size))
    if keypoints.shape != (len(JOINTS), 2):
        raise ValueError(f"pose_finder must return (18, 2) key points, not {keypoints.shape}")
    hint = "pose_finder must return pixels of the photo resized to a square"
    return draw_skeleton(check_keypoints(keypoints, name, (size, size), hint), (size, size))


def _only_person(content: dict[str, Any], name: str) -> np.ndarray:
    """The joints of the one person in the content of a JSON file; see `people_in`."""
    try:
        people = [person for person in people_in(content) if not missing(person).all()]
    except MALFORMED as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
    if len(people) != 1:
        raise ValueError(f"{name}: JSON with {len(people)} people; it must hold one")
    return people[0]


def _framed(keypoints: np.ndarray, size: int) -> np.ndarray:
    return person_frame(keypoints_box(keypoints)).points_in(keypoints, (size, size))

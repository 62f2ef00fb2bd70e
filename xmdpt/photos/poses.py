"""What a pose may be given as, and the skeleton pictures that the model sees of it."""

from collections.abc import Callable
from numbers import Number
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xmdpt.data.keypoints import JOINTS, draw_skeleton, from_openpose_json
from xmdpt.photos.framing import keypoints_box, person_frame
from xmdpt.photos.joints import check_keypoints, from_rows, read_keypoints, require_openpose
from xmdpt.photos.loading import check_size, to_rgb

Picture = Image.Image | np.ndarray
Pose = Picture | torch.Tensor | list | dict | str | Path
PoseFinder = Callable[[Image.Image, int], np.ndarray]
"""(photo, size) -> joints (18, 2) in pixels of the photo squashed to a square, -1 missing."""


def read_picture(picture: Picture, size: int) -> np.ndarray:
    """uint8 (size, size, 3), squashed by PIL's bicubic; ValueError for anything but a picture.

    A PIL picture of any mode is read as `photos.loading.load_photo` reads files.
    """
    return np.array(_as_image(picture).resize((size, size), Image.Resampling.BICUBIC))


def _as_image(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                "a picture must be a PIL image or uint8 (H, W, 3), "
                f"not {picture.dtype} {picture.shape}"
            )
        check_size(picture.shape[1::-1], "the picture")
        return Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise ValueError(
            f"a picture must be a PIL image or uint8 (H, W, 3), not {type(picture).__name__}"
        )
    check_size(picture.size, "the picture")
    return to_rgb(picture, "the picture")


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Of any device and type: NumPy has no bfloat16."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()


def as_list(value: object) -> list:
    """Pictures or poses one by one: a list, a batch in one array, or a single one."""
    if isinstance(value, torch.Tensor):
        value = _to_numpy(value)
    if isinstance(value, np.ndarray):
        rows = value.ndim == 3 and value.shape[1] in (17, 18) and value.shape[2] in (2, 3)
        batch = value.ndim == 4 or (rows and value.dtype != np.uint8)
        return list(value) if batch else [value]
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, list):
        return [value]
    return [value] if _is_rows(value) else value


def _is_rows(value: list) -> bool:
    """Whether a list is the rows x y of one pose."""
    return bool(value) and all(
        isinstance(row, list | tuple | np.ndarray)
        and len(row) in (2, 3)
        and all(isinstance(number, Number) for number in row)
        for row in value
    )


def draw_pose(pose: Pose, size: int, finder: PoseFinder | None = None) -> np.ndarray:
    """The skeleton picture, uint8 (size, size, 3), of one pose.

    Args:
        pose: a skeleton picture; key points, 18 or COCO's 17 rows x y [score] in pixels of the
            squared picture, -1 missing; or OpenPose's JSON or a text file of rows, as a path or
            what is in it, in pixels of any picture: these are framed to the person.
        finder: makes of a picture a photo, whose joints it finds.

    Raises ValueError naming what is wrong; under 4 joints, or with some outside the squared
    picture, there is no pose.
    """
    if isinstance(pose, str | Path):
        return draw_skeleton(_framed(read_keypoints(pose), size), (size, size))
    if isinstance(pose, dict):
        require_openpose(pose)
        if len(pose["people"]) != 1:
            raise ValueError(f"pose: OpenPose JSON of {len(pose['people'])} people; give one")
        keypoints = check_keypoints(from_openpose_json(pose), "pose")
        return draw_skeleton(_framed(keypoints, size), (size, size))
    if isinstance(pose, torch.Tensor):
        pose = _to_numpy(pose)
    if isinstance(pose, list | tuple) or (isinstance(pose, np.ndarray) and pose.ndim == 2):
        try:
            keypoints = from_rows(pose)
        except ValueError as error:
            raise ValueError(f"pose: {error}") from None
        hint = "rows are in pixels of the squared picture; files are framed to the person"
        return draw_skeleton(check_keypoints(keypoints, "pose", (size, size), hint), (size, size))
    if finder is None:
        return read_picture(pose, size)
    keypoints = np.asarray(finder(_as_image(pose), size))
    if keypoints.shape != (len(JOINTS), 2):
        raise ValueError(f"pose_finder must return (18, 2) key points, not {keypoints.shape}")
    hint = "pose_finder answers in pixels of the photo squashed to a square"
    return draw_skeleton(check_keypoints(keypoints, "pose", (size, size), hint), (size, size))


def _framed(keypoints: np.ndarray, size: int) -> np.ndarray:
    return person_frame(keypoints_box(keypoints)).points_in(keypoints, (size, size))

"""The people in other tools' JSON and text: pixels, or fractions of a canvas, become pixels.

OpenPose, ControlNet and DWPose, COCO, AlphaPose and MMPose, MediaPipe, and lists of rows.
"""

from typing import Any

import numpy as np

from xmdpt.data.keypoints import missing
from xmdpt.data.layouts import KNOWN, from_openpose, from_rows, to_our_joints

Size = tuple[int, int]
"""(H, W) of a picture."""
LISTS = ("pose_landmarks", "landmarks", "landmark", "instances", "annotations")
"""Keys under which tools put a list of people or of landmarks."""
FRACTION = 1.5
"""Coordinates up to this are fractions of the canvas that a file names, joints outside it too."""


def rows_of_text(text: str) -> np.ndarray:
    """The joints in text: rows x y [score], separated by blanks, commas or semicolons.

    What follows # is a comment, and the first line may name the columns. Raises ValueError.
    """
    lines = [
        line.partition("#")[0].replace(",", " ").replace(";", " ") for line in text.split("\n")
    ]
    words = [line.split() for line in lines if line.strip()]
    if words and not any(map(_is_number, words[0])):
        columns = words.pop(0)
        if [name.lower() for name in columns[:2]] != ["x", "y"] or len(columns) > 3:
            raise ValueError(f"needs {KNOWN}; the columns are {' '.join(columns)[:60]}")
    try:
        return from_rows([[float(word) for word in line] for line in words])
    except ValueError as error:
        if "could not convert" in str(error):
            raise ValueError(f"needs {KNOWN}; {error}") from None
        raise


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def people_in(content: object, size: Size | None = None) -> list[np.ndarray]:
    """Joints (18, 2) in pixels, -1 missing, of each person in the content of a JSON file.

    `size` is (H, W) of the photo, if there is one: joints on a canvas of another size are scaled to
    it, and fractions of a picture need it. Raises ValueError, as NumPy does, for other content.
    """
    if isinstance(content, dict):
        return _people_in_dict(content, size)
    if not isinstance(content, list) or not content:
        return [from_rows(content)]
    first = content[0]
    if isinstance(first, list) and first and isinstance(first[0], dict):
        return [person for part in content for person in people_in(part, size)]
    if not isinstance(first, dict):
        return [from_rows(content)]
    if not all(isinstance(item, dict) for item in content):
        raise ValueError("holds a list of people of which some are no JSON objects")
    if "x" in first:
        return [_landmarks(content, size)]
    if "people" in first or "bodies" in first:
        _require_one_picture(len(content))
        return _people_in_dict(first, size)
    _require_one_picture(len({str(item.get("image_id", "")) for item in content}))
    return [_item(item) for item in content]


def _people_in_dict(content: dict[str, Any], size: Size | None) -> list[np.ndarray]:
    canvas = _canvas(content)
    if "people" in content:
        _require_openpose(content)
        people = map(from_openpose, content["people"])
        return [_to_photo(keypoints, canvas, size) for keypoints in people]
    if isinstance(content.get("bodies"), dict):
        return _dwpose(content["bodies"], size or canvas)
    for key in LISTS:
        if key in content:
            if not isinstance(content[key], list):
                raise ValueError(f'"{key}" must be a list')
            return people_in(content[key], size) if content[key] else []
    return [_item(content)]


def _require_openpose(content: dict[str, Any]) -> None:
    """Raise ValueError unless OpenPose's JSON holds a list of people."""
    people = content.get("people")
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise ValueError('OpenPose\'s "people" must be a list of {"pose_keypoints_2d": [...]}')


def _require_one_picture(count: int) -> None:
    if count > 1:
        raise ValueError(f"holds people of {count} pictures; give a file of one picture")


def _canvas(content: dict[str, Any]) -> Size | None:
    height, width = content.get("canvas_height"), content.get("canvas_width")
    if height is None and width is None:
        return None
    if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
        raise ValueError(f"canvas_width and canvas_height are {width} and {height}; give pixels")
    return height, width


def _to_photo(keypoints: np.ndarray, canvas: Size | None, size: Size | None) -> np.ndarray:
    """Pixels or fractions of a canvas -> pixels of the photo, or of the canvas without one."""
    if canvas is None or missing(keypoints).all():
        return keypoints
    fractions = np.abs(keypoints[~missing(keypoints)]).max() <= FRACTION
    height, width = (1, 1) if fractions else canvas
    photo_height, photo_width = size or canvas
    scaled = keypoints * [photo_width / width, photo_height / height]
    return np.where(missing(keypoints)[:, None], -1.0, scaled)


def _from_fractions(points: np.ndarray, scores: np.ndarray, size: Size | None) -> np.ndarray:
    """Fractions (N, 2) of a picture -> (18, 2) in pixels; joints beside the picture are missing."""
    if size is None:
        raise ValueError("holds fractions of a picture, so it needs the photo that they belong to")
    inside = ((points >= 0) & (points <= 1)).all(axis=1)
    return to_our_joints(points * [size[1], size[0]], np.where(inside, scores, 0))


def _landmarks(content: list[dict[str, Any]], size: Size | None) -> np.ndarray:
    """MediaPipe's landmarks, which go on where the picture ends, with how visible each is."""
    points = np.array([(item["x"], item["y"]) for item in content], dtype=np.float64)
    seen = np.array([item.get("visibility", 1) for item in content], dtype=np.float64)
    return _from_fractions(points, seen, size)


def _dwpose(bodies: dict[str, Any], size: Size | None) -> list[np.ndarray]:
    """DWPose's points in fractions, and for each person the 18 rows among them, -1 missing."""
    points = np.asarray(bodies["candidate"], dtype=np.float64)[:, :2]
    rows = np.asarray(bodies["subset"], dtype=np.float64)[:, :18].astype(int)
    return [_from_fractions(points[person], (person >= 0).astype(float), size) for person in rows]


def _item(item: dict[str, Any]) -> np.ndarray:
    """A person of COCO, AlphaPose or MMPose."""
    if "keypoints" not in item:
        raise ValueError('holds neither "people" (OpenPose) nor "keypoints" (COCO)')
    values = np.asarray(item["keypoints"], dtype=np.float64)
    if "keypoint_scores" in item:
        return to_our_joints(values.reshape(-1, 2), np.asarray(item["keypoint_scores"]))
    if values.size % 3:
        raise ValueError(
            f'"keypoints" must hold x y score of each joint, not {values.size} numbers'
        )
    return from_rows(values.reshape(-1, 3))

"""What a pose is taken for, in words and as a picture, before anything is drawn from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import JOINT_SCORE, draw_skeleton, joint_names, missing
from xmdpt.photos.framing import Frame, squash
from xmdpt.photos.joints import SUFFIXES
from xmdpt.photos.loading import PhotoError, load_photo
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.subjects import (
    CANVAS,
    Framed,
    Subject,
    read_keypoints_subject,
    read_photo_subject,
    squash_points,
)

SIDE = 256
"""Height of both panels, and side of the square that the network sees."""
HOW = f" (a coordinate of -1, both 0, or a score below {JOINT_SCORE})"
SHOWN = 0.3
"""How much of the photo is seen through the skeleton."""


@dataclass(frozen=True)
class Checked:
    """Lines that say what was found, and a picture, uint8 (SIDE, W, 3)."""

    lines: list[str]
    picture: np.ndarray


def check_pose(subject: Subject, finder: PeopleFinder) -> Checked:
    """Read a pose as `generate` does. The picture shows it over its photo and over the square.

    Without a photo both are black. Raises PhotoError for a pose that cannot be used.
    """
    if not subject.is_photo:
        framed = read_keypoints_subject(subject)
        photo = Image.new("RGB", (framed.frame.width, framed.frame.height))
        whole = Frame(framed.frame.left, framed.frame.top, *photo.size)
    else:
        framed = read_photo_subject(subject, finder, want_keypoints=True)
        photo = load_photo(subject.path)
        whole = Frame(0, 0, *photo.size)
    points = framed.keypoints
    assert points is not None, "they were asked for"
    scale = np.array([framed.frame.width / CANVAS[1], framed.frame.height / CANVAS[0]])
    pixels = points * scale + [framed.frame.left, framed.frame.top]
    pixels[missing(points)] = -1
    width = max(round(photo.width * SIDE / photo.height), 1)
    left = _over(
        np.array(photo.resize((width, SIDE), Image.Resampling.BICUBIC)),
        whole.points_in(pixels, (SIDE, width)),
    )
    square = squash(framed.picture or photo, SIDE)
    right = _over(square, squash_points(points, SIDE))
    return Checked(_in_words(subject, framed, photo, pixels), np.hstack([left, right]))


def check_poses(
    subjects: Sequence[Subject], finder: PeopleFinder, say: Callable[[str], None] = print
) -> tuple[list[np.ndarray], list[str]]:
    """Check each; `say` is told the lines. Returns the pictures, and why others cannot be used."""
    pictures, bad = [], []
    for subject in subjects:
        try:
            checked = check_pose(subject, finder)
        except PhotoError as error:
            bad.append(str(error))
        else:
            pictures.append(checked.picture)
            say("\n".join(checked.lines))
    return pictures, bad


def _over(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    skeleton = draw_skeleton(points, picture.shape[:2])
    mixed = (SHOWN * picture + (1 - SHOWN) * skeleton).astype(np.uint8)
    over: np.ndarray = np.where(skeleton.any(axis=2, keepdims=True), mixed, picture)
    return over


def _in_words(
    subject: Subject, framed: Framed, photo: Image.Image, pixels: np.ndarray
) -> list[str]:
    name = subject.keypoints or subject.path
    there = pixels[~missing(pixels)]
    (left, top), (right, bottom) = there.min(axis=0), there.max(axis=0)
    frame = framed.frame
    units = "DeepFashion's 256x256 frame" if subject.units == "annotation" else "pixels"
    cut = f"{frame.width}x{frame.height} from {frame.left},{frame.top}"
    absent = missing(pixels)
    return [
        f"{name}: units: {units}" + f" of a {photo.width}x{photo.height} photo" * subject.is_photo,
        f"{name}: person: from {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}",
        f"{name}: frame that the network sees, squashed to a square: {cut}",
        f"{name}: {len(there)} of 18 joints; missing{HOW * bool(absent.any())}: "
        f"{joint_names(absent) or 'none'}",
        *(f"note: {remark}" for remark in framed.remarks),
    ]


def pose_files(folder: Path) -> list[Path]:
    """The key point files of a folder and of those below it; PhotoError if there are none."""
    found = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise PhotoError(f"{folder}: holds no key point files ({', '.join(SUFFIXES)})")
    return found


def sheet(pictures: list[np.ndarray]) -> Image.Image:
    """The pictures one below the other, white where one is narrower."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [
        np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255)
        for one in pictures
    ]
    return Image.fromarray(np.vstack(padded))

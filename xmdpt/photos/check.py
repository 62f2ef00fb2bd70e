"""What a pose is taken for, in words and as a picture, before anything is drawn from it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import (
    JOINT_SCORE,
    JOINTS,
    Units,
    draw_skeleton,
    joint_names,
    missing,
)
from xmdpt.photos.framing import CANVAS, Frame, squash
from xmdpt.photos.joints import SUFFIXES
from xmdpt.photos.loading import PhotoError, load_photo
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.subjects import (
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
    """What was found, and a picture of it, uint8 (SIDE, W, 3).

    photo: its (width, height); None for joints alone. person: left, top, right, bottom of the
    joints; frame: what the network sees; both in pixels of the photo, or of the joints' file.
    """

    pose: Path
    units: Units
    photo: tuple[int, int] | None
    person: tuple[float, float, float, float]
    frame: Frame
    absent: np.ndarray
    notes: tuple[str, ...]
    picture: np.ndarray

    @property
    def lines(self) -> list[str]:
        """What was found, for people to read."""
        name, frame = self.pose, self.frame
        units = "DeepFashion's 256x256 frame" if self.units == "annotation" else "pixels"
        units += " of a {}x{} photo".format(*self.photo) if self.photo else ""
        left, top, right, bottom = self.person
        cut = f"{frame.width}x{frame.height} from {frame.left},{frame.top}"
        return [
            f"{name}: units: {units}",
            f"{name}: person: from {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}",
            f"{name}: frame that the network sees, squashed to a square: {cut}",
            f"{name}: {(~self.absent).sum()} of 18 joints; missing{HOW * bool(self.absent.any())}: "
            f"{joint_names(self.absent) or 'none'}",
            *(f"note: {remark}" for remark in self.notes),
        ]

    def as_json(self) -> dict[str, Any]:
        """What was found, in plain types."""
        return {
            "pose": str(self.pose),
            "units": self.units,
            "photo": self.photo,
            "person": self.person,
            "frame": asdict(self.frame),
            "missing": [JOINTS[index] for index in np.flatnonzero(self.absent)],
            "notes": self.notes,
        }


def check_pose(subject: Subject, finder: PeopleFinder) -> Checked:
    """Read a pose as `generate` does. The picture shows it over its photo and over the square.

    Without a photo both are black. Raises PhotoError for a pose that cannot be used.
    """
    if not subject.is_photo:
        framed = read_keypoints_subject(subject)
        whole = framed.frame
        # As large as it is shown: with a slip in a file, its frame may not fit into memory.
        photo = Image.new("RGB", (max(round(whole.width * SIDE / whole.height), 1), SIDE))
    else:
        framed = read_photo_subject(subject, finder, want_keypoints=True)
        photo = load_photo(subject.path)
        whole = Frame(0, 0, *photo.size)
    points = framed.keypoints
    assert points is not None, "they were asked for"
    pixels = framed.frame.points_on_photo(points, CANVAS)
    width = max(round(photo.width * SIDE / photo.height), 1)
    left = skeleton_over(
        np.array(photo.resize((width, SIDE), Image.Resampling.BICUBIC)),
        whole.points_in(pixels, (SIDE, width)),
    )
    square = squash(framed.picture or photo, SIDE)
    right = skeleton_over(square, squash_points(points, SIDE))
    there = pixels[~missing(pixels)]
    (x0, y0), (x1, y1) = there.min(axis=0).tolist(), there.max(axis=0).tolist()
    return Checked(
        pose=subject.keypoints or subject.path,
        units=subject.units or "pixels",
        photo=photo.size if subject.is_photo else None,
        person=(x0, y0, x1, y1),
        frame=framed.frame,
        absent=missing(pixels),
        notes=framed.remarks,
        picture=np.hstack([left, right]),
    )


def check_poses(
    subjects: Sequence[Subject], finder: PeopleFinder
) -> tuple[list[Checked], list[str]]:
    """Check each. Returns what was found, and why others cannot be used."""
    found, bad = [], []
    for subject in subjects:
        try:
            found.append(check_pose(subject, finder))
        except PhotoError as error:
            bad.append(str(error))
    return found, bad


def skeleton_over(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The pose, joints (18, 2), drawn over a picture, both uint8 (H, W, 3)."""
    skeleton = draw_skeleton(points, picture.shape[:2])
    mixed = (SHOWN * picture + (1 - SHOWN) * skeleton).astype(np.uint8)
    over: np.ndarray = np.where(skeleton.any(axis=2, keepdims=True), mixed, picture)
    return over


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

"""From a file somebody has to a framed person: the picture, the joints on it, both in step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import missing
from xmdpt.photos import joints
from xmdpt.photos.framing import (
    ASPECT_HEIGHT,
    ASPECT_WIDTH,
    Box,
    Frame,
    drop_outside,
    is_framed,
    keypoints_box,
    person_frame,
    whole_frame,
)
from xmdpt.photos.loading import MAX_PIXELS, PhotoError, load_photo
from xmdpt.photos.people import PeopleFinder

CANVAS = (ASPECT_HEIGHT, ASPECT_WIDTH)
"""(H, W) of the undistorted frame in which the joints of source and pose are compared."""
MOST_WITH_WHITE = 3 * MAX_PIXELS
"""Of a picture with the white that brings it to the aspect: 80 megapixels may be 2 to 1."""


@dataclass(frozen=True)
class Subject:
    """Where a person or a pose comes from, and what to take.

    Args:
        path: a photo, or key points alone (.txt, .json).
        keypoints: file with the joints on the photo; without, they are detected where needed.
        units: of that file, see `joints.Units`.
        person: number, from 1, of the person meant where there are several.
        crop: to the person. None: unless the photo has DeepFashion's aspect already, and nobody of
            several is meant.
        flag: the option that sets `person`, for messages.
    """

    path: Path
    keypoints: Path | None = None
    units: joints.Units = "pixels"
    person: int | None = None
    crop: bool | None = None
    flag: str = "person"

    def __post_init__(self) -> None:
        if self.is_photo and self.keypoints is None and self.units != "pixels":
            raise PhotoError(f"{self.path}: units are those of joints in a file; give the file too")

    @property
    def is_photo(self) -> bool:
        return self.path.suffix.lower() not in joints.SUFFIXES


@dataclass(frozen=True)
class Framed:
    """A person cut out at DeepFashion's aspect.

    picture: RGB, in the photo's resolution; None of key points alone. keypoints: (18, 2) in
    pixels of CANVAS, -1 missing; None where they were not asked for. frame: where on the photo.
    """

    picture: Image.Image | None
    keypoints: np.ndarray | None
    frame: Frame


def read_keypoints_subject(subject: Subject) -> Framed:
    """Frame key points that come without a photo."""
    if subject.keypoints is not None:
        raise PhotoError(f"{subject.path}: is key points already; {subject.keypoints} is too many")
    points = joints.read_keypoints(subject.path, None, subject.units, subject.person, subject.flag)
    annotated = subject.units == "annotation" and not subject.crop
    frame = whole_frame((176, 256)) if annotated else person_frame(keypoints_box(points))
    return Framed(None, _on_canvas(points, frame, subject), frame)


def read_photo_subject(
    subject: Subject,
    finder: PeopleFinder,
    want_keypoints: bool,
    remove_background: bool = False,
) -> Framed:
    """Frame the person on a photo; what needs no detector does not load one.

    Raises PhotoError where the photo or the key points cannot be used, and where nobody, or
    several people, are found.
    """
    photo = load_photo(subject.path)
    crop = subject.crop
    if crop is None:  # of several people on a photo one is to be left
        crop = subject.person is not None or not is_framed(photo.size)
    points, box = None, None
    if subject.keypoints is not None:
        size = photo.size[::-1]
        points = joints.read_keypoints(
            subject.keypoints, size, subject.units, subject.person, subject.flag
        )
        box = keypoints_box(points, photo.size)
    elif crop or want_keypoints or remove_background:
        box = _detect(photo, subject, finder)
    if want_keypoints and points is None:
        points = finder.keypoints(photo, box)
        points = joints.check_keypoints(drop_outside(points, photo.size[::-1]), subject.path)
    if remove_background:
        photo = finder.cut_out(photo, box, str(subject.path))
    frame = person_frame(box) if crop else whole_frame(photo.size)
    if frame.width * frame.height > MOST_WITH_WHITE:
        raise PhotoError(
            f"{subject.path}: with white to the aspect of {ASPECT_WIDTH}x{ASPECT_HEIGHT} it would "
            f"have {frame.width}x{frame.height} pixels; cut it to the person or make it smaller"
        )
    if points is not None:
        points = _on_canvas(points, frame, subject)
    return Framed(frame.cut(photo), points, frame)


def _detect(photo: Image.Image, subject: Subject, finder: PeopleFinder) -> Box:
    people = finder.boxes(photo)
    return people[joints.choose(people, subject.person, str(subject.path), subject.flag)][0]


def _on_canvas(points: np.ndarray, frame: Frame, subject: Subject) -> np.ndarray:
    inside = drop_outside(frame.points_in(points, CANVAS), CANVAS)
    return joints.check_keypoints(inside, subject.keypoints or subject.path)


def squash_points(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels of CANVAS (18, 2) -> pixels of the squared picture of side `size`; -1 stays."""
    return Frame(0, 0, ASPECT_WIDTH, ASPECT_HEIGHT).points_in(points, (size, size))


def find_pose(
    photo: Image.Image, size: int, finder: PeopleFinder | None = None, person: int | None = None
) -> np.ndarray:
    """Joints (18, 2) of the person on a photo, framed, in pixels of a square of side `size`.

    With `functools.partial` it is the `pose_finder` of `XMDPTPipeline`. Raises PhotoError where
    nobody, or several people and no number `person`, are found, and where a detector is absent.
    """
    finder = finder or PeopleFinder()
    people = finder.boxes(photo)
    box = people[joints.choose(people, person, "the photo of the pose", "person")][0]
    points = drop_outside(finder.keypoints(photo, box), photo.size[::-1])
    whole = is_framed(photo.size) and person is None  # of several people one is to be left
    frame = whole_frame(photo.size) if whole else person_frame(box)
    inside = drop_outside(frame.points_in(points, CANVAS), CANVAS)
    return squash_points(joints.check_keypoints(inside, "the photo of the pose"), size)


def report_missing(points: np.ndarray, name: str, say: Callable[[str], None]) -> None:
    """Say which joints of a pose are missing, if any."""
    absent = missing(points)
    if absent.any():
        say(f"{name}: {absent.sum()} of 18 joints missing: {joints.names(absent)}")

"""From a file to a framed person: the cropped picture and the joints in its pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from xmdpt.data.fit import likely_slip, looks_annotated
from xmdpt.data.keypoints import Units, joint_names, missing
from xmdpt.data.skeletons import read_skeleton
from xmdpt.photos import joints
from xmdpt.photos.framing import (
    ASPECT_HEIGHT,
    ASPECT_WIDTH,
    CANVAS,
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

MAX_PADDED_PIXELS = 3 * MAX_PIXELS
"""Limit for a picture after padding to the aspect; even the largest photo may be 2:1."""


@dataclass(frozen=True)
class Subject:
    """A file that shows a person or a pose, and what to take from it.

    Args:
        path: a photo, or key points alone (.txt, .csv, .json, .npy).
        keypoints: file with the joints on the photo; if there is none, they are detected.
        units: of that file, see `Units`; by default pixels, with a remark if annotations would fit
            better.
        person: number, from 1, of one person among several.
        crop: whether to crop to the person; by default, only a photo that already has DeepFashion's
            aspect is left whole, and only if `person` is not given.
        flag: the option that sets `person`, for messages.
    """

    path: Path
    keypoints: Path | None = None
    units: Units | None = None
    person: int | None = None
    crop: bool | None = None
    flag: str = "person"

    def __post_init__(self) -> None:
        for path in filter(None, (self.path, self.keypoints)):
            if path.suffix.lower() in joints.OTHER_TABLES:
                raise PhotoError(
                    f"{path}: {path.suffix} is not read; write the joints to a .txt file, a row "
                    "x y [score] each, missing ones as -1 -1"
                )
        if self.is_photo and self.keypoints is None and self.units == "annotation":
            raise PhotoError(f"{self.path}: units apply to joints in a file; give that file too")

    @property
    def is_photo(self) -> bool:
        return self.path.suffix.lower() not in joints.SUFFIXES


@dataclass(frozen=True)
class Framed:
    """A person framed at DeepFashion's aspect.

    picture: RGB, at the photo's resolution; None for key points alone. keypoints: (18, 2) in
    pixels of CANVAS, -1 missing; None if they were not requested. frame: its place on the photo.
    remarks: what is probably wrong with the joints in a file.
    """

    picture: Image.Image | None
    keypoints: np.ndarray | None
    frame: Frame
    remarks: tuple[str, ...] = ()


def read_keypoints_subject(subject: Subject) -> Framed:
    """Frame key points that come without a photo."""
    if subject.keypoints is not None:
        raise PhotoError(
            f"{subject.path}: is a key point file itself; leave out {subject.keypoints}"
        )
    points = joints.read_keypoints(subject.path, None, subject.units, subject.person, subject.flag)
    annotated = subject.units == "annotation" and not subject.crop
    frame = whole_frame((176, 256)) if annotated else person_frame(keypoints_box(points))
    return Framed(None, _on_canvas(points, frame, subject), frame, remarks_on(points, subject))


def read_photo_subject(
    subject: Subject,
    finder: PeopleFinder,
    want_keypoints: bool,
    remove_background: bool = False,
) -> Framed:
    """Frame the person on a photo. Detectors are loaded only if they are needed.

    Raises PhotoError if the photo or the key points cannot be used, or if the person cannot be
    found or is one of several.
    """
    photo = load_photo(subject.path)
    box, points, frame, remarks = _locate(photo, subject, finder, want_keypoints, remove_background)
    if remove_background:
        assert box is not None, "it was asked for"
        photo = finder.cut_out(photo, box, str(subject.path))
    if frame.width * frame.height > MAX_PADDED_PIXELS:
        raise PhotoError(
            f"{subject.path}: padded with white to {ASPECT_WIDTH}:{ASPECT_HEIGHT} it would have "
            f"{frame.width}x{frame.height} pixels; crop it to the person or make it smaller"
        )
    return Framed(frame.cut(photo), points, frame, remarks)


def _locate(
    photo: Image.Image,
    subject: Subject,
    finder: PeopleFinder,
    want_keypoints: bool,
    want_box: bool = False,
) -> tuple[Box | None, np.ndarray | None, Frame, tuple[str, ...]]:
    """The person's box on the photo, the joints on CANVAS, the frame, and remarks.

    Box and joints are None if nothing needs them.
    """
    crop = subject.crop
    if crop is None:
        crop = subject.person is not None or not is_framed(photo.size)
    box, points = None, None
    remarks: tuple[str, ...] = ()
    if subject.keypoints is not None:
        points = joints.read_keypoints(
            subject.keypoints, photo.size[::-1], subject.units, subject.person, subject.flag
        )
        box = keypoints_box(points, photo.size)
        remarks = remarks_on(points, subject, photo)
    elif want_keypoints and (drawn := read_skeleton(np.asarray(photo))) is not None:
        points = joints.check_keypoints(drawn, subject.path, photo.size[::-1])
        box = keypoints_box(points, photo.size)
        count = len(drawn) - missing(drawn).sum()
        remarks = (f"{subject.path}: is a drawn skeleton; {count} joints were read back from it",)
    elif crop or want_keypoints or want_box:
        people = finder.boxes(photo)
        if not people:
            raise finder.nobody(photo, str(subject.path))
        box, _ = people[joints.choose(people, subject.person, str(subject.path), subject.flag)]
        if want_keypoints:
            points = drop_outside(finder.keypoints(photo, box), photo.size[::-1])
            joints.check_keypoints(points, subject.path)
    frame = whole_frame(photo.size) if box is None or not crop else person_frame(box)
    points = points if points is None else _on_canvas(points, frame, subject)
    return box, points, frame, remarks


def remarks_on(
    points: np.ndarray, subject: Subject, photo: Image.Image | None = None
) -> tuple[str, ...]:
    """What is probably wrong with joints (18, 2) from a file, in pixels of their photo if any."""
    name = subject.keypoints or subject.path
    said = []
    if photo is not None and subject.units is None and looks_annotated(points, np.asarray(photo)):
        said.append(
            "the joints fit DeepFashion's 256x256 frame better than the photo; give their units, "
            "annotation if they are of that frame, pixels if not"
        )
    if (slip := likely_slip(points)) is not None:
        said.append(slip)
    return tuple(f"{name}: {text}" for text in said)


def _on_canvas(points: np.ndarray, frame: Frame, subject: Subject) -> np.ndarray:
    inside = drop_outside(frame.points_in(points, CANVAS), CANVAS)
    return joints.check_keypoints(inside, subject.keypoints or subject.path)


def in_one_frame(poses: Mapping[Path, Framed]) -> dict[Path, Framed]:
    """Poses on photos of one camera, in one frame that holds all of them.

    So a person moves within the picture, and stays as tall when both arms go up.
    """
    if len({pose.frame for pose in poses.values()}) < 2:
        return dict(poses)
    points = {}
    for path, pose in poses.items():
        assert pose.keypoints is not None, "poses have joints"
        points[path] = pose.frame.points_on_photo(pose.keypoints, CANVAS)
    frame = person_frame(keypoints_box(np.concatenate([*points.values()])))
    return {
        path: replace(pose, picture=None, frame=frame, keypoints=frame.points_in(own, CANVAS))
        for (path, pose), own in zip(poses.items(), points.values(), strict=True)
    }


def squash_points(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels of CANVAS (18, 2) -> pixels of the square picture of side `size`; -1 stays."""
    return Frame(0, 0, ASPECT_WIDTH, ASPECT_HEIGHT).points_in(points, (size, size))


def find_pose(
    photo: Image.Image, size: int, finder: PeopleFinder | None = None, person: int | None = None
) -> np.ndarray:
    """Joints (18, 2) of the framed person on a photo, in pixels of a square of side `size`.

    With `functools.partial` it becomes the `pose_finder` of `XMDPTPipeline`. Raises PhotoError if
    the person cannot be found or is one of several (`person` chooses one), and where a detector
    is missing.
    """
    subject = Subject(Path("the photo of the pose"), person=person)
    _, points, _, _ = _locate(photo, subject, finder or PeopleFinder(), want_keypoints=True)
    assert points is not None, "they were asked for"
    return squash_points(points, size)


def report_missing(points: np.ndarray, name: str, say: Callable[[str], None]) -> None:
    """Say which joints of a pose are missing, if any."""
    absent = missing(points)
    if absent.any():
        say(f"{name}: {absent.sum()} of 18 joints missing: {joint_names(absent)}")

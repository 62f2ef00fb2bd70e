"""What one call of the pipeline is given, checked as a whole and read: photos and skeletons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmdpt.photos.poses import Picture, Pose, PoseFinder, as_list, draw_pose, read_picture
from xmdpt.photos.sources import check_skeleton, check_source

Source = Picture | tuple[Picture, ...]


@dataclass(frozen=True)
class Inputs:
    """uint8 photos (people times views, S, S, 3), the people one after the other, and skeletons.

    skeletons: uint8 (poses, S, S, 3); people, count: how many people, and pictures to draw.
    """

    photos: np.ndarray
    skeletons: np.ndarray
    people: int
    count: int


def read_inputs(
    source: Source | Sequence[Source],
    pose: Pose | list[Pose],
    size: int,
    images: int = 1,
    generators: int | None = None,
    finder: PoseFinder | None = None,
    any_source: bool = False,
) -> Inputs:
    """Read the sources and poses of `images` pictures each, as squares of side `size`.

    `generators` is how many there are, if it is a list. See `XMDPTPipeline.__call__` for the rest.
    Raises ValueError; what can be told by counting is told before anything is read.
    """
    sources, poses = as_list(source), as_list(pose)
    if not sources or not poses:
        raise ValueError(f"{'pose' if sources else 'source'}: an empty list")
    views = [one if isinstance(one, tuple) else (one,) for one in sources]
    if len({len(photos) for photos in views}) > 1:
        raise ValueError("sources of several photos: give equally many of each person")
    if len(sources) not in (1, len(poses)):
        raise ValueError(f"{len(sources)} sources for {len(poses)} poses; give 1 or as many")
    count = len(poses) * images
    if generators not in (None, count):
        raise ValueError(f"{generators} generators for {count} pictures; give 1 or as many")
    photos = [read_picture(photo, size) for person in views for photo in person]
    for name, photo in [] if any_source else _numbered("source", photos):
        check_source(photo, name)
    skeletons = [draw_pose(one, size, finder, name) for name, one in _numbered("pose", poses)]
    for name, skeleton in [] if any_source else _numbered("pose", skeletons):
        check_skeleton(skeleton, name)
    return Inputs(np.stack(photos), np.stack(skeletons), len(sources), count)


def _numbered(name: str, items: Sequence[Any]) -> list[tuple[str, Any]]:
    """Each item behind its name in messages, with its number from 1 if there are several."""
    many = len(items) > 1
    return [(f"{name} {number}" if many else name, one) for number, one in enumerate(items, 1)]

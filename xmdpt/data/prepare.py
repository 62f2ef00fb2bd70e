"""From an existing data set to its index: every picture is read once and checked."""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.fit import WHITE, on_white, set_remarks, upper_body
from xmdpt.data.images import is_turned
from xmdpt.data.index import INDEX, write_index, write_lists
from xmdpt.data.keypoints import (
    FRAME_HEIGHT,
    FRAME_MARGIN,
    FRAME_WIDTH,
    annotation_to_pixels,
    missing,
)
from xmdpt.data.overlap import REPORT, SHOWN, overlap_report, thumbnail
from xmdpt.data.pairs import NESTED
from xmdpt.data.remarks import remarks_on_clothes, remarks_on_copies
from xmdpt.data.stores import DataError
from xmdpt.data.survey import Survey
from xmdpt.support.cores import usable_cores
from xmdpt.support.files import fingerprint, resumable_dir, write_json

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Passes items on and shows progress, as `tqdm` does."""

LOW_RESOLUTION = (256, 256)
MOST_OUTSIDE, MOST_IN_CORNER = 0.1, 0.01
"""Shares of joints and of pictures up to which odd joints pass as errors of a detector."""


@dataclass(frozen=True)
class Reading:
    """One picture, read and decoded: SHA-256 of its bytes, thumbnail, key points."""

    digest: str
    thumbnail: np.ndarray
    keypoints: np.ndarray
    padded: bool
    """Whether it looks like low-resolution DeepFashion: 256x256 with white sides."""
    on_white: float | None
    """Share of the joints on white, see `xmdpt.data.fit.on_white`."""
    clothes: np.ndarray | None
    """Colour of the upper body, see `xmdpt.data.fit.upper_body`."""


def _has_white_sides(image: Image.Image) -> bool:
    if image.size[::-1] != LOW_RESOLUTION:
        return False
    pixels = np.asarray(image)
    left, right = pixels[:, : FRAME_MARGIN - 2], pixels[:, 2 - FRAME_MARGIN :]
    return bool(min(left.min(), right.min()) >= WHITE)


def _refuse_turned(content: bytes, name: str) -> None:
    """Raise DataError if a photo's EXIF says that it must be rotated."""
    with Image.open(io.BytesIO(content)) as image:
        turned = is_turned(image)
    if turned:
        raise DataError(
            f"{name}: its EXIF asks for rotation, but joints are pixels of the stored picture; "
            "save it rotated, with joints to match, or remove the tag"
        )


def _read(data: DeepFashion, name: str) -> Reading | DataError:
    try:
        content = data.store.content(name)
        image = data.store.decode(name, content)
        _refuse_turned(content, name)
        digest = hashlib.sha256(content).hexdigest()
        joints, pixels = data.keypoints(name), np.asarray(image)
        points = annotation_to_pixels(joints, pixels.shape[:2])
        white, clothes = on_white(points, pixels), upper_body(points, pixels)
        return Reading(digest, thumbnail(image), joints, _has_white_sides(image), white, clothes)
    except DataError as error:
        return error


def read_all(
    data: DeepFashion,
    names: Sequence[str],
    progress: Progress = tqdm,
    low_resolution: bool = False,
) -> dict[str, Reading]:
    """Read every picture and its key points, on all cores; the DataError names the bad ones.

    DeepFashion's low-resolution pictures are refused, unless `low_resolution`.
    """
    data.keypoints(names[0])  # opens the data set once, before the threads do
    with ThreadPoolExecutor(len(usable_cores())) as pool:
        results = progress(pool.map(lambda name: _read(data, name), names))
        done: dict[str, Reading | DataError] = dict(zip(names, results, strict=True))
    bad = [str(result) for result in done.values() if isinstance(result, DataError)]
    if bad:
        more = f" (and {len(bad) - 1} more: {'; '.join(bad[1:4])})" if len(bad) > 1 else ""
        raise DataError(bad[0] + more)
    readings = {name: result for name, result in done.items() if isinstance(result, Reading)}
    padded = [reading.padded for name, reading in readings.items() if NESTED.search(name)]
    if padded and np.mean(padded) > 0.5 and not low_resolution:  # JPEG noise hides some
        raise DataError(
            f"{data.raw}: {sum(padded)} of {len(padded)} pictures look like DeepFashion's "
            "low-resolution ones (256x256 with white sides), but the field uses img_highres; put "
            "it beside them. Pictures of people on white that were squashed to 256x256 look "
            "like that too: to use them, give --low-resolution (setting data.low_resolution: true)"
        )
    _check_joints(data, readings)
    return readings


def _check_joints(data: DeepFashion, readings: Mapping[str, Reading]) -> None:
    """Raise DataError if the joints as a whole cannot belong to these pictures.

    A few may be wrong; if many are, they are in another format.
    """
    joints = np.stack([reading.keypoints for reading in readings.values()])  # (N, 18, 2), padded
    there = ~missing(joints)
    x, y = np.moveaxis(joints - [FRAME_MARGIN, 0], 2, 0)
    outside = there & ((x < -1) | (x > FRAME_WIDTH + 1) | (y < -1) | (y > FRAME_HEIGHT + 1))
    cure = "docs/reproduce/data.md says which numbers are expected"
    if outside.sum() > MOST_OUTSIDE * there.sum():
        share = outside.sum() / there.sum()
        raise DataError(f"{data.raw}: {share:.0%} of the joints lie outside their pictures; {cure}")
    corner = (there & (x == 0) & (y == 0)).any(axis=1)  # 0 0 that somebody moved to the frame
    if corner.sum() > MOST_IN_CORNER * len(corner):
        raise DataError(
            f"{data.raw}: {corner.sum()} of {len(corner)} pictures have a joint at exactly 0, 0; "
            f"missing joints are -1, -1; {cure}"
        )


def overlap_found(found: Survey, readings: Mapping[str, Reading]) -> dict[str, Any]:
    """The `overlap_report` of pictures that were read."""
    thumbnails = {name: reading.thumbnail for name, reading in readings.items()}
    return overlap_report(found.pictures, found.pairs, thumbnails, found.open().picture)


def content_remarks(
    found: Survey, readings: Mapping[str, Reading], overlap: Mapping[str, Any]
) -> list[str]:
    """What the contents of pictures add to the notes of a survey, which saw names and joints."""
    joints = np.stack([reading.keypoints for reading in readings.values()])
    said = set_remarks(joints, [reading.on_white for reading in readings.values()])
    said += remarks_on_copies(overlap)
    colours = {name: reading.clothes for name, reading in readings.items()}
    for split, pairs in found.pairs.items():
        said += remarks_on_clothes(split, pairs, colours)
    return [remark for remark in said if remark not in found.notes]


def _check_replaceable(root: Path) -> None:
    if root.exists() and not (root / INDEX).is_file() and any(root.iterdir()):
        raise DataError(
            f"{root}: holds other files, which the index of the data set would replace; choose "
            "another folder as data.root"
        )


def make_index(
    found: Survey,
    root: str | Path,
    progress: Progress = tqdm,
    low_resolution: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write the index of a surveyed data set to the folder `root`; returns `overlap_report`.

    Also writes overlap.json. `say` is told what reading the pictures adds to the
    survey's notes. Raises DataError if something is missing or a picture
    or key point file cannot be read; `root` then stays as it was.
    """
    found.require()
    root, data = Path(root), found.open()
    _check_replaceable(root)
    readings = read_all(data, found.names, progress, low_resolution)
    overlap = overlap_found(found, readings)
    for remark in content_remarks(found, readings, overlap):
        found.notes.append(remark)
        say(f"note: {remark}")
    digests = {name: reading.digest for name, reading in readings.items()}
    with resumable_dir(root, fingerprint(digests, str(found.root))) as folder:
        keypoints = {name: reading.keypoints for name, reading in readings.items()}
        write_lists(folder, found.pictures, found.targets)
        write_index(folder, root, found.root, data.store, digests, keypoints)
        write_json(folder / REPORT, overlap)
    return overlap


def overlap_tables(overlap: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The report as tables by title; long lists are cut."""
    counts = pd.DataFrame(
        [
            {"": what, "of the test set": overlap["of_test"][what], "also in training": len(names)}
            for what, names in overlap["shared"].items()
        ]
    )
    tables = {"what both sets hold": counts}
    lists = {f"{split} pairs": pairs for split, pairs in overlap["near_pairs"].items()}
    for what, pairs in (lists | {"training and test pictures": overlap["near_across"]}).items():
        title = f"{what} of nearly the same picture: {len(pairs)}"
        columns = ["first", "second", "mean difference in grey levels"]
        tables[title] = pd.DataFrame(pairs[:SHOWN], columns=columns)
    return tables

"""What training and test pictures share, and trivial pairs of nearly the same picture.

DeepFashion's splits share no picture and no outfit, but more than half of the test items also
occur in training in another colour, and about one test pair in a hundred shows nearly the same
picture twice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from xmdpt.data.annotations import SPLITS, Pair, Split
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import item, outfit
from xmdpt.support.files import read_json

THUMBNAIL = 16
CANDIDATE = 4.0
"""Thumbnails up to this root mean square difference in grey levels are compared in full."""
NEAR = 2.0
"""Pictures up to this mean absolute difference in grey levels are nearly the same."""
CHUNK = 512
SHOWN = 10
REPORT = "overlap.json"
"""The report's file name in an index."""

NearPair = tuple[str, str, float]
"""Two names and the mean absolute difference of their pictures in grey levels."""


def thumbnail(image: Image.Image) -> np.ndarray:
    """uint8 (16, 16): a picture's mean grey levels over the cells of a grid."""
    grey = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(grey)


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())


def _nearly_same(candidates: Sequence[Pair], read: Callable[[str], np.ndarray]) -> list[NearPair]:
    """The candidates whose pictures are nearly the same, with their difference."""
    known: dict[frozenset[str], float] = {}
    found = []
    for first, second in candidates:
        key = frozenset((first, second))
        if key not in known:
            known[key] = _difference(read(first), read(second))
        if known[key] <= NEAR:
            found.append((first, second, round(known[key], 3)))
    return found


def near_pairs(
    pairs: Sequence[Pair],
    thumbnails: dict[str, np.ndarray],
    read: Callable[[str], np.ndarray],
) -> list[NearPair]:
    """The (source, target) pairs whose two pictures are nearly the same.

    thumbnails: by name, of every picture. read: gives a picture, uint8 (H, W, 3) of one size.
    """
    if not pairs:
        return []
    rows = {name: row for row, name in enumerate(thumbnails)}
    stacked = np.stack(list(thumbnails.values())).astype(np.float32)
    index = np.array([[rows[source], rows[target]] for source, target in pairs])
    candidates: list[Pair] = []
    for start in range(0, len(index), 1024 * 16):
        part = index[start : start + 1024 * 16]
        squares = (stacked[part[:, 0]] - stacked[part[:, 1]]) ** 2
        close = np.flatnonzero(squares.mean(axis=(1, 2)) <= CANDIDATE**2)
        candidates += [pairs[start + row] for row in close.tolist()]
    return _nearly_same(candidates, read)


def near_across(
    train: Sequence[str],
    test: Sequence[str],
    thumbnails: dict[str, np.ndarray],
    read: Callable[[str], np.ndarray],
) -> list[NearPair]:
    """The (training, test) pictures that are nearly the same, whatever their names say."""
    seen = np.stack([thumbnails[name] for name in train]).astype(np.float32).reshape(len(train), -1)
    norms = (seen**2).sum(axis=1)
    limit = CANDIDATE**2 * THUMBNAIL**2
    candidates: list[Pair] = []
    for start in range(0, len(test), CHUNK):
        names = test[start : start + CHUNK]
        asked = np.stack([thumbnails[name] for name in names]).astype(np.float32)
        asked = asked.reshape(len(names), -1)
        squares = norms - 2 * asked @ seen.T + (asked**2).sum(axis=1)[:, None]
        # The matrix product is rounded, so a few more candidates are let in.
        candidates += [
            (train[column], names[row])
            for row, column in np.argwhere(squares <= limit + 256).tolist()
        ]
    return _nearly_same(candidates, read)


def closest_across(
    train: Sequence[str], test: Sequence[str], thumbnails: Mapping[str, np.ndarray], count: int
) -> list[Pair]:
    """The `count` test pictures closest to a training picture by thumbnail, as (training, test)."""
    import torch  # seconds of imports

    seen, asked = (
        torch.from_numpy(np.stack([thumbnails[name] for name in names])).flatten(1).float()
        for names in (train, test)
    )
    best = []
    for start in range(0, len(test), CHUNK):
        gaps = torch.cdist(asked[start : start + CHUNK], seen, p=1).numpy()
        for name, row in zip(test[start : start + CHUNK], gaps, strict=True):
            best.append((float(row.min()), train[int(row.argmin())], name))
    return [(first, second) for _, first, second in sorted(best)[:count]]


def shared_names(train: Sequence[str], test: Sequence[str]) -> dict[str, tuple[list[str], int]]:
    """Pictures, outfits and items: those that both splits hold, and how many the test split has."""
    keys: dict[str, Callable[[str], str]] = {"pictures": str, "outfits": outfit, "items": item}
    shared = {}
    for what, key in keys.items():
        in_test = {key(name) for name in test}
        shared[what] = sorted(in_test & {key(name) for name in train}), len(in_test)
    return shared


def overlap_report(
    pictures: Mapping[Split, list[str]],
    pairs: Mapping[Split, list[Pair]],
    thumbnails: dict[str, np.ndarray],
    read: Callable[[str], np.ndarray],
) -> dict[str, Any]:
    """What the splits share, and the pictures that are nearly the same, in plain types.

    thumbnails: by name, of every stored picture. read: gives a picture, uint8 (H, W, 3), all of one
    size.
    """
    train, test = pictures["train"], pictures["test"]
    both = shared_names(train, test)
    return {
        "shared": {what: names for what, (names, _) in both.items()},
        "of_test": {what: count for what, (_, count) in both.items()},
        "near_pairs": {split: near_pairs(pairs[split], thumbnails, read) for split in SPLITS},
        "near_across": near_across(train, test, thumbnails, read),
        "closest": closest_across(train, test, thumbnails, SHOWN),
    }


def overlap_of(data: DeepFashion) -> dict[str, Any]:
    """The `overlap_report` of a data set: from its index, else made by reading all pictures."""
    stored = data.root / REPORT
    if stored.is_file():
        report: dict[str, Any] = read_json(stored, "run the stage `prepare` again")
        return report
    pictures = {split: data.pictures(split) for split in SPLITS}
    pairs = {split: data.pairs(split) for split in SPLITS}
    names = [name for split in SPLITS for name in pictures[split]]
    thumbnails = {name: thumbnail(data.store.image(name)) for name in names}
    return overlap_report(pictures, pairs, thumbnails, data.picture)

"""What training and test pictures share, and pairs that ask for next to nothing.

DeepFashion's splits share no picture and no outfit, but more than half of the test items also
occur in training in another colour, and about one test pair in a hundred shows nearly the same
picture twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from xmdpt.data.annotations import SPLITS, Pair, Split
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import item, outfit

THUMBNAIL = 16
CANDIDATE = 4.0
"""Root mean square in grey levels up to which thumbnails are taken for nearly the same picture."""
NEAR = 2.0
"""Mean absolute difference in grey levels up to which pictures are nearly the same."""
CHUNK = 512
SHOWN = 10
REPORT = "overlap.json"
"""The report's file in an index."""

NearPair = tuple[str, str, float]
"""Two names and the mean absolute difference of their pictures in grey levels."""


def thumbnail(image: Image.Image) -> np.ndarray:
    """uint8 (16, 16): means of a picture's grey levels over the cells of a grid."""
    grey = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(grey)


def shared(
    train: Sequence[str], test: Sequence[str], key: Callable[[str], str]
) -> tuple[list[str], int]:
    """What `key` says of both splits' pictures, sorted, and of how many the test split holds."""
    in_test = {key(name) for name in test}
    return sorted(in_test & {key(name) for name in train}), len(in_test)


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())


def _checked(
    candidates: Sequence[Pair], read: Callable[[str], np.ndarray], known: dict
) -> list[NearPair]:
    """The candidates whose pictures are nearly the same, with their difference."""
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

    thumbnails: of every picture, by name. read: a picture, uint8 (H, W, 3) of one size.
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
        candidates += [pairs[start + row] for row in close]
    return _checked(candidates, read, {})


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
    candidates = []
    for start in range(0, len(test), CHUNK):
        names = test[start : start + CHUNK]
        asked = np.stack([thumbnails[name] for name in names]).astype(np.float32)
        asked = asked.reshape(len(names), -1)
        squares = norms - 2 * asked @ seen.T + (asked**2).sum(axis=1)[:, None]
        # The sum of products is rounded: a little more is let in, and checked on the pictures.
        candidates += [
            (train[column], names[row])
            for row, column in np.argwhere(squares <= limit + 256).tolist()
        ]
    return _checked(candidates, read, {})


def closest_across(
    train: Sequence[str], test: Sequence[str], thumbnails: Mapping[str, np.ndarray], count: int
) -> list[Pair]:
    """The (training, test) pictures with the most similar thumbnails, each test picture once."""
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
    """What both splits hold, and how many the test split has: pictures, outfits and items."""
    keys: dict[str, Callable[[str], str]] = {"pictures": str, "outfits": outfit, "items": item}
    return {what: shared(train, test, key) for what, key in keys.items()}


def overlap_report(
    pictures: Mapping[Split, list[str]],
    pairs: Mapping[Split, list[Pair]],
    thumbnails: dict[str, np.ndarray],
    read: Callable[[str], np.ndarray],
) -> dict[str, Any]:
    """What the splits share, and the pictures of nearly the same content, in plain types.

    thumbnails: of every picture as stored, by name. read: a picture, uint8 (H, W, 3) of one size.
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
    """The `overlap_report` of a data set: what its index holds, else made by reading all of it."""
    stored = data.root / REPORT
    if stored.is_file():
        return json.loads(stored.read_text())
    pictures = {split: data.pictures(split) for split in SPLITS}
    pairs = {split: data.pairs(split) for split in SPLITS}
    names = [name for split in SPLITS for name in pictures[split]]
    thumbnails = {name: thumbnail(data.store.image(name)) for name in names}
    return overlap_report(pictures, pairs, thumbnails, data.picture)

"""The index of an existing data set: everything but its pictures, in a small folder.

    dataset.json                       where the pictures are, and in which form
    pictures.tsv                       name, place and SHA-256 of each picture
    keypoints.npz                      (N, 18, 2) in the padded frame, one entry per picture
    train.lst  test.lst  train_pairs.txt  test_pairs.txt    as in docs/understand/architecture.md

The stage `prepare` makes it. It spares copying tens of thousands of pictures or putting them into
DVC's cache, while every later stage still depends on their contents.
"""

import csv
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from xmdpt.data.annotations import SPLITS, Frame, Keypoints, KeypointTable, Split, Target
from xmdpt.data.stores import DataError, FolderStore, LmdbStore, Store
from xmdpt.support.files import write_json

INDEX = "dataset.json"
CURE = "run the stage `prepare` again"
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error, csv.Error,
)  # fmt: skip
"""What the readers of JSON, tables and ZIP files make of damaged bytes."""


class Opened(NamedTuple):
    """The parts of a data set that was opened."""

    store: Store
    keypoints: Keypoints | None
    raw: Path
    """Where the pictures are."""
    digests: dict[str, str]
    """SHA-256 of pictures by name, as far as an index holds them."""


def write_lists(
    folder: Path, pictures: Mapping[Split, list[str]], targets: Mapping[Split, list[Target]]
) -> None:
    """Write train.lst, test.lst, train_pairs.txt, test_pairs.txt (a target, then its sources)."""
    for split in SPLITS:
        lines = {
            f"{split}.lst": pictures[split],
            f"{split}_pairs.txt": [",".join([name, *sources]) for name, sources in targets[split]],
        }
        for name, content in lines.items():
            (folder / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")


def write_index(
    folder: Path,
    root: Path,
    raw: Path,
    store: Store,
    digests: Mapping[str, str],
    keypoints: Mapping[str, np.ndarray],
) -> None:
    """Write the places, digests and key points of the pictures of `raw` to `folder`.

    `root` is where `folder` will be moved: a relative `raw` is stored relative to it.
    """
    names = list(digests)
    pictures = store.folder if isinstance(store, LmdbStore) else store.root
    where = str(pictures) if raw.is_absolute() else os.path.relpath(pictures, root)
    kind = "lmdb" if isinstance(store, LmdbStore) else "folder"
    with open(folder / "pictures.tsv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["name", "place", "sha256"])
        table.writerows((name, store.place(name), digests[name]) for name in names)
    stacked = np.stack([keypoints[name] for name in names])
    np.savez_compressed(folder / "keypoints.npz", keypoints=stacked)
    write_json(folder / INDEX, {"pictures": Path(where).as_posix(), "kind": kind})


def read_index(root: Path) -> Opened:
    """Open the data set that an index describes."""
    try:
        described = json.loads((root / INDEX).read_text())
        pictures, kind = root / described["pictures"], described["kind"]
        with open(root / "pictures.tsv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        places = {row["name"]: row["place"] for row in rows}
        digests = {row["name"]: row["sha256"] for row in rows}
        with np.load(root / "keypoints.npz") as archive:
            keypoints = archive["keypoints"]
        if len(keypoints) != len(places) or any(len(digest) != 64 for digest in digests.values()):
            raise ValueError("pictures.tsv is cut, or does not belong to keypoints.npz")
    except UNREADABLE as error:
        raise DataError(f"{root}: not a complete index of a data set ({error}); {CURE}") from None
    pictures = Path(os.path.normpath(pictures))
    if not pictures.is_dir():
        raise DataError(f"{pictures}: no such folder, but {root} is its index; {CURE}")
    store = LmdbStore(pictures) if kind == "lmdb" else FolderStore(pictures, places)
    table: dict[str, tuple[np.ndarray, Frame]] = {
        name: (points, "padded") for name, points in zip(places, keypoints, strict=True)
    }
    keypoints_of = KeypointTable(table, store.size_of, str(root / "keypoints.npz"))
    return Opened(store, keypoints_of, pictures, digests)

"""The index of a data set that exists: all but its pictures, in a small folder.

    dataset.json                       where the pictures are, and in which form
    pictures.tsv                       name, where it lies, SHA-256 of its bytes
    keypoints.npz                      (N, 18, 2) in the padded frame, one entry a picture
    train.lst  test.lst  train_pairs.txt  test_pairs.txt    as in docs/architecture.md

The stage `prepare` makes it, so that pictures by the ten thousand are neither copied nor put into
DVC's cache, and every later stage depends on what they hold.
"""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xmdpt.data.annotations import SPLITS, KeypointTable, Split, Target
from xmdpt.data.stores import DataError, FolderStore, LmdbStore, Store
from xmdpt.support.files import write_json

INDEX = "dataset.json"
CURE = "run the stage `prepare` again"


def write_lists(
    folder: Path, pictures: Mapping[Split, list[str]], targets: Mapping[Split, list[Target]]
) -> None:
    """Write train.lst, test.lst, and train_pairs.txt, test_pairs.txt: a target, its sources."""
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
    """Write where the pictures of `raw` lie, their digests and key points to `folder`.

    `root` is where the folder will be in the end: a relative `raw` is kept relative to it.
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


def read_index(root: Path) -> tuple[Store, KeypointTable, Path, dict[str, str]]:
    """The pictures and key points that an index tells of, where the pictures are, their digests."""
    try:
        described = json.loads((root / INDEX).read_text())
        pictures, kind = root / described["pictures"], described["kind"]
        with open(root / "pictures.tsv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        places = {row["name"]: row["place"] for row in rows}
        digests = {row["name"]: row["sha256"] for row in rows}
        with np.load(root / "keypoints.npz") as archive:
            keypoints = archive["keypoints"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{root}: not a whole index of a data set ({error}); {CURE}") from None
    pictures = Path(os.path.normpath(pictures))
    if not pictures.is_dir():
        raise DataError(f"{pictures}: no such folder, but {root} is its index; {CURE}")
    store = LmdbStore(pictures) if kind == "lmdb" else FolderStore(pictures, places)
    table = {name: (points, "padded") for name, points in zip(places, keypoints, strict=True)}
    keypoints_of = KeypointTable(table, store.size_of, str(root / "keypoints.npz"))
    return store, keypoints_of, pictures, digests

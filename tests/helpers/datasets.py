"""DeepFashion in every format that people have it in, and what spoils it."""

import csv
import io
import shutil

import lmdb
import numpy as np
from PIL import Image

from helpers.people import SIZE, draw_person
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import mangle
from xmdpt.data.prepare import make_index
from xmdpt.data.survey import Survey, survey

SPLITS = ("train", "test")
NAME = "img/WOMEN/Tees_Tanks/id_00000000/01_0_front.jpg"
TEST_NAME = "img/WOMEN/Tees_Tanks/id_00000003/01_0_front.jpg"
POSE = NAME.replace("img/", "pose/").replace(".jpg", ".txt")
LISTS = tuple(f"{split}{end}" for split in SPLITS for end in (".lst", "_pairs.txt"))
WHOLE = ("img", "pose", *LISTS)
ONE_SPLIT = ("img", "pose", "train.lst", "train_pairs.txt")


def everyone(data):
    return [name for split in SPLITS for name in data.pictures(split)]


def assert_reads_equal(data, other) -> None:
    """Two readers have the same lists, pairs, pictures and key points."""
    for split in SPLITS:
        assert data.pictures(split) == other.pictures(split)
        assert data.pairs(split) == other.pairs(split)
    for name in everyone(other):
        assert np.array_equal(data.picture(name), other.picture(name))
        assert np.array_equal(data.keypoints(name), other.keypoints(name))


def copy_of(people, root, *parts):
    for part in parts:
        if (people / part).is_dir():
            shutil.copytree(people / part, root / part)
        else:
            shutil.copy(people / part, root / part)
    return root


def own_data_set(root, names) -> Survey:
    """Survey drawn people with names of one's own, the first two of which are paired."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        draw_person(root / name, root / "pose" / f"{name[:-3]}txt", (9, 99, 199), 0)
    for split in SPLITS:
        (root / f"pairs-{split}.csv").write_text(f"from,to\n{names[0]},{names[1]}\n")
    return survey(root, SIZE)


def index_of(root, out) -> DeepFashion:
    """The data set `root`, read through an index written to `out`."""
    make_index(survey(root, SIZE), out, progress=iter)
    return DeepFashion(out, SIZE)


def write_lmdb(folder, people, names, length=True, size=None):
    """What NTED's and PIDM's tools write: PNG of the squashed picture under its path."""
    height, width = size or [int(side) for side in folder.name.split("-")]
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for name in names:
            image = Image.open(people / name).resize((width, height), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            image.save(buffer, "png")
            transaction.put(name.replace(".jpg", ".png").encode(), buffer.getvalue())
        if length:
            transaction.put(b"length", str(len(names)).zfill(5).encode())
    (folder / "lock.mdb").unlink()


def write_pair_tables(root, data, name, rename):
    for split in SPLITS:
        with open(root / name.format(split), "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["from", "to"])
            table.writerows([rename(a), rename(b)] for a, b in data.pairs(split))


def write_keypoint_tables(root, data, name, rename, change):
    """PATN's tables: y first, whole numbers, -1 missing."""
    for split in SPLITS:
        lines = ["name:keypoints_y:keypoints_x"]
        for picture in data.pictures(split):
            points = data.keypoints(picture)
            moved = np.where((points == -1).any(axis=1)[:, None], -1, change(points)).astype(int)
            lines.append(f"{rename(picture)}: {moved[:, 1].tolist()}: {moved[:, 0].tolist()}")
        (root / name.format(split)).write_text("\n".join(lines) + "\n")


def write_highres(root, people, data):
    shutil.copytree(people / "img", root / "img_highres")
    (root / "img").mkdir()  # the low-resolution version beside it is not to be read
    for name in everyone(data):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (256, 256)).save(path)
    copy_of(people, root, "pose", *LISTS)


def write_named_lmdb(name):
    def write(root, people, data):
        write_lmdb(root / name, people, everyone(data))
        copy_of(people, root, "pose", *LISTS)

    return write


def write_patn(spelling, name, change):
    """Mangled names in two flat folders, lists, tables of pairs and key points."""

    def write(root, people, data):
        def rename(picture):
            return f"{mangle(picture)}.jpg"

        folder = root / "fashion_data"
        for split in SPLITS:
            (folder / split).mkdir(parents=True)
            for picture in data.pictures(split):
                shutil.copy(people / picture, folder / split / rename(picture))
            listed = "\n".join(rename(picture) for picture in data.pictures(split))
            (folder / f"{split}.lst").write_text(listed)
        write_pair_tables(folder, data, spelling + "-resize-pairs-{}.csv", rename)
        write_keypoint_tables(folder, data, name, rename, change)

    return write


def write_several_sources(root, people, data):
    """A line of train_pairs.txt: the target, then all of its sources."""
    copy_of(people, root, "img", "pose", "train.lst", "test.lst")
    for split in SPLITS:
        sources: dict[str, list[str]] = {}
        for source, target in data.pairs(split):
            sources.setdefault(target, []).append(source)
        lines = [",".join([target, *names]) for target, names in sources.items()]
        (root / f"{split}_pairs.txt").write_text("\r\n".join(lines))


FORMATS = {
    "img_highres": write_highres,
    "lmdb": write_named_lmdb(f"{SIZE}-{SIZE}"),
    "lmdb 11:16": write_named_lmdb(f"{SIZE}-44"),
    "patn": write_patn("fasion", "fasion-resize-annotation-{}.csv", lambda p: p - [40, 0]),
    "patn, spelled right": write_patn("fashion", "fashion-annotation-{}.csv", lambda p: p),
    "several sources": write_several_sources,
}


def truncated(root):
    content = (root / NAME).read_bytes()
    (root / NAME).write_bytes(content[: len(content) // 2])


def rewritten(path, text):
    def spoil(root):
        (root / path).write_text(text)

    return spoil


def table_of_17_joints(root):
    shutil.rmtree(root / "pose")
    row = f"{NAME}: {[1] * 17}: {[1] * 18}"
    (root / "keypoints.csv").write_text(f"name:keypoints_y:keypoints_x\n{row}\n")


def wrong_size(root):
    write_lmdb(root / f"{SIZE}-{SIZE}", root, [NAME], size=(60, 50))


def no_length(root):
    write_lmdb(root / f"{SIZE}-{SIZE}", root, [NAME], length=False)


def no_lmdb(root):
    (root / f"{SIZE}-{SIZE}").mkdir()
    (root / f"{SIZE}-{SIZE}/data.mdb").write_bytes(b"junk" * 4096)


def too_small(root):
    write_lmdb(root / "32-32", root, [NAME])
    shutil.rmtree(root / "img")


def nothing_to_pair(root):
    (root / "train_pairs.txt").unlink()


BAD = {
    "truncated JPEG": (truncated, "picture", rf"{NAME}: not a readable picture.*truncated"),
    "not a picture": (rewritten(NAME, "x"), "picture", f"{NAME}: not a readable picture"),
    "missing picture": (lambda root: (root / NAME).unlink(), "picture", f"{NAME}: no such picture"),
    "wrong size": (wrong_size, "picture", "is 60x50 .* not 64x64"),
    "LMDB without length": (no_length, "picture", "no key 'length'"),
    "not an LMDB": (no_lmdb, "picture", "not a readable LMDB"),
    "LMDB too small": (too_small, "picture", "32-32 only, too small for data.size 64"),
    "17 rows": (rewritten(POSE, "1 2\n" * 17), "keypoints", rf"{POSE}: needs 18 rows .*\(17, 2\)"),
    "no numbers": (rewritten(POSE, "a b\n"), "keypoints", f"{POSE}: not a key point file"),
    "NaN joint": (rewritten(POSE, "nan 1\n" * 18), "keypoints", f"{POSE}: holds NaN"),
    "table of 17": (table_of_17_joints, "keypoints", "keypoints.csv: line 2: has 17 joints"),
    "no key points": (
        lambda root: shutil.rmtree(root / "pose"), "keypoints", "no key points: no folder pose/",
    ),
    "no source": (
        rewritten("train_pairs.txt", f"\n{NAME}\n"), "pairs", "line 2 names no source",
    ),
    "no pairs": (nothing_to_pair, "pairs", "no train_pairs.txt and no table"),
}  # fmt: skip

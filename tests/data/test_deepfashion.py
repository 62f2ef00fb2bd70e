"""The reader: every format on disk reads back equal, on its own and in other processes."""

import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import lmdb
import numpy as np
import pytest
import torch
from helpers.datasets import (
    FORMATS,
    NAME,
    ONE_SPLIT,
    SPLITS,
    assert_reads_equal,
    copy_of,
    everyone,
    write_keypoint_tables,
    write_lmdb,
    write_pair_tables,
)
from helpers.people import SIZE
from PIL import Image

from xmdpt.data import stores
from xmdpt.data.deepfashion import DataError, DeepFashion, read_picture
from xmdpt.data.pairs import canonical, item
from xmdpt.photos.loading import load_photo


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_back_equal(name, drawn, truth, tmp_path):
    FORMATS[name](tmp_path, drawn, truth)
    data = DeepFashion(tmp_path, SIZE)
    assert_reads_equal(data, truth)
    for picture in everyone(truth):
        assert np.array_equal(data.skeleton(picture), truth.skeleton(picture))
    laid = data.lay_out(tmp_path.with_name(f"{tmp_path.name} laid out"))
    listed = [line for s in SPLITS for line in (laid / f"{s}.lst").read_text().split("\n") if line]
    assert [canonical(line) for line in listed] == everyone(truth)
    for line, picture in zip(listed, everyone(truth), strict=True):
        assert np.array_equal(read_picture(laid / line, (SIZE, SIZE)), truth.picture(picture))


def test_pictures_are_the_pils_bicubic_squash(drawn, truth):
    expected = Image.open(drawn / NAME).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    assert np.array_equal(truth.picture(NAME), np.asarray(expected))
    assert truth.picture(NAME, (64, 44)).shape == (64, 44, 3)


def test_without_lists_the_pairs_say_what_there_is(drawn, truth, tmp_path):
    copy_of(drawn, tmp_path, "img", "pose", "train_pairs.txt", "test_pairs.txt")
    data = DeepFashion(tmp_path, SIZE)
    for split in SPLITS:
        assert sorted(data.pictures(split)) == sorted(truth.pictures(split))


def test_a_lmdb_of_the_size_asked_for_comes_before_the_files(drawn, truth, tmp_path):
    copy_of(drawn, tmp_path, *ONE_SPLIT)
    black = Image.new("RGB", (44, 64))
    write_lmdb(tmp_path / "32-32", drawn, [NAME])
    black.save(tmp_path / NAME)
    assert DeepFashion(tmp_path, SIZE).picture(NAME).max() == 0
    assert DeepFashion(tmp_path, 32).picture(NAME).max() > 0


def test_digest_is_of_picture_and_key_points(drawn, tmp_path):
    root = copy_of(drawn, tmp_path, *ONE_SPLIT)
    data, other = DeepFashion(root, SIZE), NAME.replace("01_0", "01_1")
    before = data.digest(NAME)
    assert len(before) == 64 and data.digest(NAME) == before != data.digest(other)
    pose = root / NAME.replace("img/", "pose/").replace(".jpg", ".txt")
    joints = np.loadtxt(pose)
    joints[3] += 1
    np.savetxt(pose, joints)
    moved = data.digest(NAME)
    shutil.copy(root / other, root / NAME)
    assert len({before, moved, data.digest(NAME)}) == 3


def test_a_folder_of_ones_own(drawn, truth, tmp_path):
    """Any names, a from,to table, and joints in pixels of each picture."""
    names = {}
    for count, picture in enumerate(everyone(truth)):
        names[picture] = f"photos/{item(picture)[-1]}/photo {count}.png"
        (tmp_path / names[picture]).parent.mkdir(parents=True, exist_ok=True)
        Image.open(drawn / picture).resize((88, 128)).save(tmp_path / names[picture])
    write_pair_tables(tmp_path, truth, "pairs-{}.csv", names.get)
    write_keypoint_tables(
        tmp_path, truth, "keypoints-{}.csv", names.get, lambda p: (p - [40, 0]) / 2
    )
    data = DeepFashion(tmp_path, SIZE)
    assert data.pairs("test") == [(names[a], names[b]) for a, b in truth.pairs("test")]
    for picture, name in names.items():
        assert data.picture(name).shape == (SIZE, SIZE, 3)
        assert np.abs(data.keypoints(name) - truth.keypoints(picture)).max() <= 2  # halved ints
        assert (data.keypoints(name) == -1).sum() == (truth.keypoints(picture) == -1).sum()


def test_market_1501(tmp_path):
    name = "0002_c1s1_000451_03.jpg"
    target = "0002_c2s1_000776_01.jpg"
    folder = tmp_path / "bounding_box_train"
    folder.mkdir()
    for stem in (name, target):
        Image.new("RGB", (64, 128), (9, 99, 199)).save(folder / stem)
    (tmp_path / "market-pairs-train.csv").write_text(f"from,to\n{name},{target}\n")
    ys, xs = [-1] * 18, [-1] * 18
    ys[0], xs[0], ys[1], xs[1] = 64, 16, 128, 64
    table = f"name:keypoints_y:keypoints_x\n{target}: {ys}: {xs}\n"
    (tmp_path / "market-annotation-train.csv").write_text(table)
    data = DeepFashion(tmp_path, SIZE)
    assert data.pairs("train") == [(name, target)]
    assert data.picture(name).shape == (SIZE, SIZE, 3)
    keypoints = data.keypoints(target)
    assert keypoints[:2].tolist() == [[40 + 44, 128], [40 + 176, 256]]
    assert (keypoints[2:] == -1).all()
    assert item(name) == item(target) == "0002"


def test_hidden_tables_are_not_read(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    for place, x in ((".ipynb_checkpoints/keypoints-checkpoint.csv", 51), ("keypoints.csv", 90)):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        row = f"a.png: {[30] * 18}: {[x] * 18}"
        (tmp_path / place).write_text(f"name:keypoints_y:keypoints_x\n{row}\n")
    (tmp_path / "._keypoints.csv").write_bytes(b"\xff\xfe")
    assert DeepFashion(tmp_path, SIZE).keypoints("a.png")[0, 0] == pytest.approx(0.9 * 176 + 40)


def test_any_kind_of_png_is_read_as_the_pipeline_reads_photos(tmp_path):
    clear = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    clear.save(tmp_path / "clear.png")
    Image.fromarray(np.full((40, 40), 257 * 12, np.uint16)).save(tmp_path / "deep.png")
    for name in ("clear", "deep"):
        path = tmp_path / f"{name}.png"
        assert np.array_equal(read_picture(path), np.asarray(load_photo(path)))
    assert read_picture(tmp_path / "clear.png")[0, 1].tolist() == [255, 255, 255]
    assert (read_picture(tmp_path / "deep.png") == 12).all()
    content = bytearray((tmp_path / "clear.png").read_bytes())
    content[8:12] = (5).to_bytes(4, "big")  # too short a header
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png: not a readable picture"):
        read_picture(tmp_path / "broken.png")


class Pictures(torch.utils.data.Dataset):
    def __init__(self, data, names):
        self.data, self.names = data, names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, row):
        return self.data.picture(self.names[row])


def test_a_lmdb_is_read_by_other_processes(drawn, truth, tmp_path):
    write_lmdb(tmp_path / f"{SIZE}-{SIZE}", drawn, everyone(truth))
    copy_of(drawn, tmp_path, "pose", "train.lst", "train_pairs.txt")
    data, names = DeepFashion(tmp_path, SIZE), truth.pictures("train")
    expected = [truth.picture(name) for name in names]
    data.picture(names[0])  # opened before the worker is forked
    loader = torch.utils.data.DataLoader(
        Pictures(data, names), batch_size=4, num_workers=1, multiprocessing_context="fork"
    )
    assert np.array_equal(torch.cat(list(loader)), expected)
    sent = pickle.loads(pickle.dumps(data))  # as to a spawned worker
    assert np.array_equal([sent.picture(name) for name in names], expected)
    assert not (tmp_path / f"{SIZE}-{SIZE}/lock.mdb").exists()


def test_threads_that_open_a_lmdb_at_once_share_it(drawn, truth, tmp_path, monkeypatch):
    """As those of a spawned worker do, which is sent a data set that was opened elsewhere."""
    folder, opened = tmp_path / f"{SIZE}-{SIZE}", lmdb.open
    write_lmdb(folder, drawn, everyone(truth))
    copy_of(drawn, tmp_path, "pose", "train.lst", "train_pairs.txt")
    data, names = DeepFashion(tmp_path, SIZE), truth.pictures("train")
    data.picture(names[0])
    stores._environments.pop(folder.resolve())[1].close()  # as if nobody had opened it here

    def slowly(*where, **how):
        time.sleep(0.01)
        return opened(*where, **how)

    monkeypatch.setattr(lmdb, "open", slowly)
    with ThreadPoolExecutor(8) as pool:
        read = [*pool.map(data.picture, names)]
    assert np.array_equal(read, [truth.picture(name) for name in names])

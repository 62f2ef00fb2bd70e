"""The index of an existing data set: it reads like the original, and bad data is refused."""

import io
import shutil

import numpy as np
import pytest
from helpers.datasets import (
    FORMATS,
    NAME,
    TEST_NAME,
    assert_reads_equal,
    everyone,
    index_of,
    own_data_set,
    write_highres,
    write_lmdb,
)
from helpers.people import SIZE
from PIL import ExifTags, Image

from xmdpt.config import DataConfig
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.survey import survey
from xmdpt.evaluation.results import Picture, training_pictures


def write_both(root, people, data):
    """JPEGs, and the LMDB that tools made of them."""
    write_highres(root, people, data)
    write_lmdb(root / f"{SIZE}-{SIZE}", people, everyone(data))


@pytest.mark.parametrize("write", [*FORMATS.values(), write_both], ids=[*FORMATS, "both"])
def test_an_index_reads_as_what_it_tells_of(write, people, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw, people, DeepFashion(people, SIZE))
    before = sorted((path, path.stat().st_mtime_ns) for path in raw.rglob("*"))
    data, index = DeepFashion(raw, SIZE), index_of(raw, tmp_path / "index")
    assert before == sorted((path, path.stat().st_mtime_ns) for path in raw.rglob("*"))
    assert_reads_equal(index, data)
    for name in everyone(data):
        assert index.digest(name) == data.digest(name)
    for one in training_pictures(index.root):  # which an index need not read for it
        assert one.known_digest == Picture(one.store, one.name).digest() == one.digest()
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert names == {
        "dataset.json", "pictures.tsv", "keypoints.npz", "overlap.json",
        "train.lst", "test.lst", "train_pairs.txt", "test_pairs.txt",
    }  # fmt: skip


def test_a_note_changes_no_index(people, tmp_path):
    def content():
        index_of(people, tmp_path / "index")
        return {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}

    first = content()
    (people / "photo.heic").touch()
    assert survey(people, SIZE).notes and content() == first


def test_an_index_changes_with_a_picture_and_with_a_joint(people, tmp_path):
    def content():
        index_of(people, tmp_path / "index")
        return {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}

    first = content()
    assert content() == first
    shutil.copy(people / NAME, people / TEST_NAME)
    second = content()
    assert second["pictures.tsv"] != first["pictures.tsv"]
    path = people / f"pose{NAME[3:-3]}txt"
    joints = np.loadtxt(path)
    joints[0] += 1
    np.savetxt(path, joints)
    assert content()["keypoints.npz"] != second["keypoints.npz"]


def test_a_relative_index_moves_with_the_project(people, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    shutil.move(people, project / "raw")
    monkeypatch.chdir(project)
    index_of("raw", "data/index")
    monkeypatch.chdir("/")
    project.rename(tmp_path / "moved")
    assert DeepFashion(tmp_path / "moved/data/index", SIZE).picture(NAME).shape == (SIZE, SIZE, 3)


def test_an_index_whose_pictures_went_away(people, tmp_path):
    index = index_of(people, tmp_path / "index")
    people.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"people: no such folder, but .* is its index"):
        DeepFashion(index.root, SIZE).picture(NAME)
    (index.root / "keypoints.npz").unlink()
    with pytest.raises(DataError, match="not a complete index"):
        DeepFashion(index.root, SIZE).picture(NAME)


def cut(content):
    return content[: len(content) // 2]


def with_a_flipped_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def objects(_):
    """What numpy would unpickle, and with it run whatever it says."""
    buffer = io.BytesIO()
    np.savez(buffer, keypoints=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("dataset.json", lambda content: b""),
        ("dataset.json", cut),
        ("dataset.json", lambda content: b"[]"),
        ("pictures.tsv", lambda content: b""),
        ("pictures.tsv", cut),
        ("pictures.tsv", lambda content: content[:-9]),
        ("pictures.tsv", lambda content: b"\0" * len(content)),
        ("keypoints.npz", lambda content: b""),
        ("keypoints.npz", cut),
        ("keypoints.npz", with_a_flipped_bit),
        ("keypoints.npz", objects),
    ],
)
def test_a_damaged_index_is_one_line(name, damage, people, tmp_path):
    path = index_of(people, tmp_path / "index").root / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"^{path.parent}: not a complete index") as caught:
        DeepFashion(path.parent, SIZE).picture(NAME)
    assert "\n" not in str(caught.value) and "run the stage `prepare` again" in str(caught.value)


def test_unreadable_pictures_are_named_and_the_old_index_stays(people, tmp_path):
    index = index_of(people, tmp_path / "index").root
    before = (index / "pictures.tsv").read_bytes()
    for name in (NAME, TEST_NAME):
        content = (people / name).read_bytes()
        (people / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"truncated.*and 1 more.*truncated"):
        index_of(people, tmp_path / "index")
    assert (index / "pictures.tsv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []


def test_a_folder_of_somebody_elses_is_not_replaced(people, tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index/precious").touch()
    with pytest.raises(DataError, match="holds other files"):
        index_of(people, tmp_path / "index")
    assert (tmp_path / "index/precious").exists()


def pad(paths):
    """Make pictures look like low-resolution DeepFashion."""
    for path in paths:
        padded = Image.new("RGB", (256, 256), "white")
        padded.paste(Image.open(path).resize((176, 256)), (40, 0))
        padded.save(path)


def test_low_resolution_deepfashion_is_refused(people, tmp_path):
    pad(people.rglob("*.jpg"))
    with pytest.raises(DataError, match="low-resolution"):
        index_of(people, tmp_path / "index")


def test_own_cutouts_on_white_are_nobodys_low_resolution(tmp_path):
    own_data_set(tmp_path / "mine", ["a.png", "b.png"])
    pad((tmp_path / "mine").glob("*.png"))
    index = index_of(tmp_path / "mine", tmp_path / "index")
    assert index.pictures("train") == ["a.png", "b.png"]


def test_pictures_that_ask_to_be_turned_are_refused(people, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(people / NAME).save(people / NAME, exif=exif)
    with pytest.raises(DataError, match=f"{NAME}: its EXIF asks for rotation"):
        index_of(people, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def write_points(people, change):
    for path in (people / "pose").rglob("*.txt"):
        points = np.loadtxt(path)
        points[:14] = change(points[:14])
        np.savetxt(path, points)


def test_joints_of_other_pictures_are_refused(people, tmp_path):
    write_points(people, lambda points: points * 3)  # pixels of larger ones
    with pytest.raises(DataError, match=r"\d\d% of the joints lie outside their pictures"):
        index_of(people, tmp_path / "index")


def test_missing_joints_as_zeros_are_refused(people, tmp_path):
    def zeros(points):
        points[4:6] = [40, 0]  # of the picture the upper left
        return points

    write_points(people, zeros)
    with pytest.raises(DataError, match="12 of 12 pictures have a joint at exactly 0, 0"):
        index_of(people, tmp_path / "index")


def test_settings_of_a_set_that_exists(people, tmp_path):
    DataConfig(root=str(tmp_path / "index"), raw=str(people), size=64)
    with pytest.raises(ValueError, match="may contain the other"):
        DataConfig(root=str(people / "index"), raw=str(people), size=64)

"""Sets that can be read but may not be meant so: each is remarked on, or refused with the cure."""

import shutil

import numpy as np
import pytest
from helpers.commands import xmdpt
from helpers.datasets import NAME, TEST_NAME, everyone, own_data_set, write_lmdb
from helpers.people import SIZE
from PIL import Image

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.pairs import mangle, nearest
from xmdpt.data.prepare import read_all
from xmdpt.data.remarks import remarks_on_pairs, remarks_on_splits
from xmdpt.data.survey import survey

OTHER = NAME.replace("/01_0_front", "/02_0_front")  # in another colour
STRANGER = NAME.replace("id_00000000", "id_00000001")


# Pairs and splits


@pytest.mark.parametrize(
    ("pairs", "remark"),
    [
        ([(NAME, NAME)], "have the same picture as source and target"),
        ([(NAME, OTHER)], "show one person in two outfits"),
        ([(NAME, STRANGER)], "show two people"),
        ([("0002_c1s1_000451_03.jpg", "0007_c1s1_000451_03.jpg")], "show two people"),
    ],
)
def test_a_pair_that_is_remarked_on(pairs, remark):
    good = (NAME, NAME.replace("_0_", "_1_"))
    [note] = remarks_on_pairs("train", [good, *pairs])
    assert note.startswith(f"1 train pairs {remark}") and f"{pairs[0][0]} -> {pairs[0][1]}" in note


def test_doubled_pairs_are_counted_once_each():
    pair = (NAME, NAME.replace("_0_", "_1_"))
    assert remarks_on_pairs("test", [pair]) == []
    [note] = remarks_on_pairs("test", [pair] * 3)
    assert note.startswith("1 test pairs stand there more than once")


@pytest.mark.parametrize(
    ("train", "test", "remarks"),
    [
        ([NAME], [TEST_NAME], []),
        ([NAME], [OTHER], ["1 of 1 test people are in the training set too in other clothes"]),
        (
            [NAME, STRANGER],
            [NAME],
            ["1 of 1 test pictures are training pictures", "1 of 1 test people"],
        ),
        (["anna/1.png", "eve/1.png"], ["anna/2.png", "bo/2.png"], ["1 of 2 test people"]),
        (["all/1.png"], ["all/2.png"], []),  # a folder of all pictures is no person
    ],
)
def test_people_on_both_sides_of_the_split(train, test, remarks):
    found = remarks_on_splits({"train": train, "test": test})
    assert len(found) == len(remarks)
    assert all(note.startswith(start) for note, start in zip(found, remarks, strict=True))


def test_the_survey_says_what_pairs_and_splits_hold(people):
    assert survey(people, SIZE).notes == []
    with open(people / "train_pairs.txt", "a") as file:
        file.write(f"{NAME},{NAME}\n")
    with open(people / "test.lst", "a") as file:
        file.write(f"{NAME}\n")
    text = str(survey(people, SIZE))
    assert "1 train pairs have the same picture" in text
    assert "1 of 4 test pictures are training pictures too" in text


# Files


def test_two_files_of_one_name_are_told(tmp_path):
    names = ["anna/a1.png", "anna/a2.png"]
    assert not any("of one name" in note for note in own_data_set(tmp_path, names).notes)
    (tmp_path / "bert").mkdir()
    shutil.copy(tmp_path / names[0], tmp_path / "bert/a1.png")
    text = str(survey(tmp_path, SIZE))
    assert "3 picture files have 2 names; of one name are: anna/a1.png and bert/a1.png" in text


def test_heic_files_are_named(people):
    (people / "img/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert "1 HEIC files are not read: img/phone.HEIC; save them as JPEG" in str(
        survey(people, SIZE)
    )


# Names that do not meet


def upper_case(people):
    for folder in ("img", "pose"):
        (people / folder / "WOMEN").rename(people / folder / "women")


def flat_and_misspelt(people):
    for path in sorted((people / "img").rglob("*.jpg")):
        path.rename(people / f"{mangle(path).replace('fashion', 'fasion')}.jpg")


def prefixed_keys(people):
    data = DeepFashion(people, SIZE)
    names = everyone(data)
    elsewhere = people.parent / "prefixed"
    for name in names:
        (elsewhere / "fashion256" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(people / name, elsewhere / "fashion256" / name)
    write_lmdb(people / f"{SIZE}-{SIZE}", elsewhere, [f"fashion256/{name}" for name in names])
    shutil.rmtree(people / "img")


@pytest.mark.parametrize(
    ("spoil", "there"),
    [
        (upper_case, "img/women/Tees_Tanks/id_00000000/01_0_front.jpg"),
        (flat_and_misspelt, "fasionWOMENTees_Tanksid0000000001_0front.jpg"),
        (prefixed_keys, "fashion256/img/WOMEN/Tees_Tanks/id_00000000/01_0_front.png"),
    ],
)
def test_names_that_do_not_meet_are_shown_beside_each_other(spoil, there, people):
    spoil(people)
    found = survey(people, SIZE)
    [train, *_] = [cure for cure in found.missing if "no picture file" in cure]
    assert f"; {NAME} was wanted, and the closest name there is {there}" in train


def test_the_nearest_name():
    assert nearest("photos/anna.png", ["x.png", "photos/Anna.JPG", "bo.png"]) == "photos/Anna.JPG"
    assert nearest("photos/anna.png", ["x.png", "pictures/ana.png"]) == "pictures/ana.png"
    assert nearest(NAME, []) is None


# Text


def in_encoding(encoding):
    def write(path):
        path.write_bytes(path.read_text().encode(encoding))

    return write


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le-bom"])
def test_lists_in_other_unicode_encodings_are_read(encoding, people):
    pairs = DeepFashion(people, SIZE).pairs("train")
    path = people / "train_pairs.txt"
    text = path.read_text()
    if encoding == "utf-16-le-bom":
        path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    else:
        in_encoding(encoding)(path)
    assert DeepFashion(people, SIZE).pairs("train") == pairs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"a.jpg,b.jpg\njos\xe9.jpg,b.jpg\n",
            r"line 2 is not UTF-8 \(byte 0xe9\).*iconv -f latin1",
        ),
        (b"\0\x01\xff\xfe\0\x80", "not a text file"),
        (b"target,source\na.jpg,b.jpg\n", "line 1 is 'target,source', which names no pictures as"),
    ],
)
def test_text_that_cannot_be_read_is_named(content, message, people, monkeypatch, capsys):
    (people / "train_pairs.txt").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        DeepFashion(people, SIZE).pairs("train")
    assert str(caught.value).startswith(str(people / "train_pairs.txt"))
    assert xmdpt(monkeypatch, "survey", str(people)) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_list_without_suffixes_has_no_heading(people):
    path = people / "train_pairs.txt"
    pairs = DeepFashion(people, SIZE).pairs("train")
    lines = path.read_text().split()
    path.write_text("\n".join(",".join(map(mangle, line.split(","))) for line in lines))
    assert DeepFashion(people, SIZE).pairs("train") == pairs


# People on white, squashed to 256x256


def test_squashed_people_on_white_are_taken_where_that_is_said(people, monkeypatch, capsys):
    data = DeepFashion(people, SIZE)
    write_lmdb(people / "256-256", people, everyone(data))
    words = ["survey", str(people), "--read"]
    assert xmdpt(monkeypatch, *words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "12 of 12 pictures look like DeepFashion's low-resolution ones" in error
    assert "--low-resolution" in error and "data.low_resolution: true" in error
    assert xmdpt(monkeypatch, *words, "--low-resolution") == 0
    assert "12 pictures are readable" in capsys.readouterr().out


@pytest.mark.parametrize("side", [16, 31])
def test_pictures_that_are_too_small_are_found_before_training(side, people):
    Image.fromarray(np.zeros((90, side, 3), np.uint8)).save(people / NAME)
    found = survey(people, SIZE)
    with pytest.raises(DataError, match=f"is {side}x90 pixels; a side needs 32 or more"):
        read_all(found.open(), found.names)

"""Which pictures to draw."""

import json
from pathlib import Path

import pytest

from xmdpt.photos.loading import PhotoError
from xmdpt.photos.tables import Line, every_pair, files_in, gif_names, read_table


def test_a_folder_stands_for_the_files_in_it(tmp_path):
    for name in ("b.JPG", "a.png", "c.json", "notes.md", "._b.JPG"):
        (tmp_path / name).touch()
    alone = tmp_path / "notes.md"
    assert files_in([alone, tmp_path]) == [alone, tmp_path / "a.png", tmp_path / "b.JPG"]
    assert files_in([tmp_path], poses=True)[-1] == tmp_path / "c.json"
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoError, match="empty: holds no"):
        files_in([tmp_path / "empty"])


def test_the_frames_of_a_sequence_are_in_the_order_of_their_numbers(tmp_path):
    names = ["a.txt", "step2.txt", "step10.txt", "step010b.txt", "²step.txt"]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in files_in([tmp_path], poses=True)] == names


def test_every_person_in_every_pose(tmp_path):
    lines = every_pair([tmp_path / "me.jpg", tmp_path / "you.jpg"], [tmp_path / "sit.json"])
    assert [line.name for line in lines] == ["me_sit.png", "you_sit.png"]
    with pytest.raises(PhotoError, match=r"Me_sit\.png would be written twice.* rename a file"):
        every_pair([tmp_path / "me.jpg", tmp_path / "Me.png"], [tmp_path / "sit.json"])


def test_two_people_have_no_animation_of_one_name():
    poses = [Path("sit.json"), Path("run.json")]
    lines = every_pair([Path("a/me.jpg"), Path("a/you.jpg")], poses)
    names = {"a/me.jpg": "me.gif", "a/you.jpg": "you.gif"}
    assert gif_names(lines) == {Path(person): name for person, name in names.items()}
    with pytest.raises(PhotoError, match=r"Me\.gif would be written twice, of a/me\.jpg and of b/"):
        gif_names([*lines, Line(source=Path("b/Me.jpg"), pose=poses[0], out="other.png")])


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_table_names_files_beside_it(tmp_path, ending):
    table = tmp_path / f"table.{ending}"
    rows = [
        {"source": "me.jpg", "pose": "poses/sit.json", "seed": 3},
        {"source": "/photos/you.jpg", "pose": "run.txt", "out": "you.jpg"},
    ]
    text = "source, pose, out, seed\nme.jpg,poses/sit.json,,3\n/photos/you.jpg,run.txt,you.jpg,\n"
    table.write_text(text if ending == "csv" else json.dumps(rows))
    first, second = read_table(table)
    wanted = Line(source=tmp_path / "me.jpg", pose=tmp_path / "poses/sit.json", seed=3)
    assert first == wanted and first.name == "me_sit.png"
    assert (str(second.source), second.name, second.seed) == ("/photos/you.jpg", "you.jpg", None)


@pytest.mark.parametrize("text, said", [
    ("", "no picture to draw"),
    ("source,pose\n", "no picture to draw"),
    ("source,pose\na.jpg,\n", "picture 1: pose: Field required"),
    ("source,pose,sed\na.jpg,b.txt,1\n", "picture 1: sed: is not one of source, pose, out, seed"),
    ("source,pose\na.jpg,b.txt,c\n", "picture 1: None: is not one of"),
    ("source,pose,seed\na.jpg,b.txt,x\n", "picture 1: seed: Input should be a valid integer"),
    ("source,pose,out\na.jpg,b.txt,../c.png\n", "picture 1: out: String should match"),
    ("source,pose,out\na.jpg,b.txt,c.bmp\n", "out 'c.bmp': pictures are written as .png"),
    ("source,pose,out\na.jpg,b.txt,Sheet.jpg\n", "out 'Sheet.jpg': is the sheet's name"),
    ("source,pose\na.jpg,b.txt\nc/a.png,b.json\n", "a_b.png would be written twice"),
])  # fmt: skip
def test_a_table_that_cannot_be_used_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(PhotoError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path)) and said in str(caught.value)


def test_json_that_is_no_list_is_named(tmp_path):
    path = tmp_path / "table.json"
    for text in ("{}", "[1]", "nonsense"):
        path.write_text(text)
        with pytest.raises(PhotoError, match=r"table\.json: not a table of pictures"):
            read_table(path)
    with pytest.raises(PhotoError, match="No such file"):
        read_table(tmp_path / "none.csv")

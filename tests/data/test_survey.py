"""What a survey finds and asks for, and the command that prints it."""

import shutil

import pytest
from helpers.commands import xmdpt
from helpers.datasets import BAD, NAME, everyone, own_data_set, write_lmdb, write_pair_tables
from helpers.people import SIZE

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.prepare import make_index
from xmdpt.data.survey import EXPECTED, survey


def found_numbers(found):
    return {line.what: line.found for line in found.findings}


def test_a_whole_set_is_counted(people):
    found = survey(people, SIZE)
    assert found.missing == []
    assert found_numbers(found) == {
        "pictures": 12, "train pictures": 9, "test pictures": 3, "train pairs": 18,
        "test pairs": 6, "key points": 12, "joints": 18,
    }  # fmt: skip
    assert {line.what: line.expected for line in found.findings} == EXPECTED
    text = str(found)
    for number in ("52,712", "48,674", "4,038", "101,966", "8,570", "18"):
        assert number in text
    joints = text.split("joints")[1].splitlines()[0]
    assert "differs" in text and "differs" not in joints


def test_what_is_missing_is_named_with_where_to_get_it_and_to_put_it(tmp_path):
    found = survey(tmp_path / "deepfashion", 256)
    text = str(found)
    assert len(found.missing) == 4
    for part in (
        "img_highres.zip", "InShopRetrieval", "non-commercial", "password", "pose.rar",
        "train_pairs.txt", "test_pairs.txt", f"{tmp_path}/deepfashion/256-256/",
        f"{tmp_path}/deepfashion/img_highres/WOMEN", f"{tmp_path}/deepfashion/pose/WOMEN",
    ):  # fmt: skip
        assert part in text, part
    with pytest.raises(DataError, match=r"missing: pictures; train pairs; ") as caught:
        make_index(found, tmp_path / "index", progress=iter)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "index").exists()


def test_a_folder_that_is_not_there_is_said_not_to_be(tmp_path):
    found = survey(tmp_path / "deepfasion", 256)
    assert "there is no such folder" in str(found)
    with pytest.raises(DataError, match=r"missing: pictures; .*says where to get it"):
        found.require()


@pytest.mark.parametrize("part", ["img", "pose", "test_pairs.txt"])
def test_one_missing_part(part, people):
    path = people / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (cure,) = survey(people, SIZE).missing
    assert cure.startswith({"img": "pictures", "pose": "key points"}.get(part, "test pairs"))


@pytest.mark.parametrize(
    ("path", "what"), [(NAME, "picture file"), (f"pose{NAME[3:-3]}txt", "key points")]
)
def test_pairs_that_name_a_missing_picture(path, what, people, tmp_path):
    (people / path).unlink()
    found = survey(people, SIZE)
    assert found.missing == [
        f"1 pictures in train pairs have no {what}: {NAME}; copy them again or remove the pairs"
    ]
    with pytest.raises(DataError, match=f"have no {what}: {NAME}"):
        make_index(found, tmp_path / "index")


def test_a_listed_picture_that_no_pair_needs_is_left_out(people):
    with open(people / "train.lst", "a") as file:
        file.write("img/WOMEN/Tees_Tanks/id_00000099/01_1_front.jpg\n")
    found = survey(people, SIZE)
    assert found.missing == []
    assert len(found.pictures["train"]) == 9
    assert found_numbers(found)["train pictures"] == 10
    assert any("1 train pictures have no picture file" in note for note in found.notes)


def test_a_paired_picture_that_no_list_names_is_added(people):
    lines = (people / "train.lst").read_text().split()
    (people / "train.lst").write_text("\n".join(lines[1:]))
    found = survey(people, SIZE)
    assert found.pictures["train"] == [*lines[1:], lines[0]]
    assert any("not in train.lst" in note for note in found.notes)


def test_remarks_on_a_lmdb(people):
    names = everyone(DeepFashion(people, SIZE))
    write_lmdb(people / "96-64", people, names)
    shutil.rmtree(people / "img")
    notes = " ".join(survey(people, SIZE).notes)
    assert "96-64 is resized a second time, to 64x64" in notes


def test_pairs_in_two_files_that_differ(people):
    data = DeepFashion(people, SIZE)
    write_pair_tables(people, data, "fasion-resize-pairs-{}.csv", str)
    assert survey(people, SIZE).notes == []
    (people / "fasion-resize-pairs-test.csv").write_text(f"from,to\n{NAME},{NAME}\n")
    (note,) = survey(people, SIZE).notes
    assert "fasion-resize-pairs-test.csv names other pairs than test_pairs.txt" in note


def test_names_of_ones_own(tmp_path):
    found = own_data_set(tmp_path / "good", ["anna/a1.png", "anna/a2.png"])
    assert found.missing == []
    assert {line.expected for line in found.findings} == {None}  # not held against DeepFashion
    (cure,) = own_data_set(tmp_path / "twice", ["anna/1.png", "bert/1.png"]).missing
    assert "anna/1.png and bert/1.png" in cure
    assert own_data_set(tmp_path / "numbered", ["anna_1.png", "anna_2.png"]).missing == []


@pytest.mark.parametrize("name", ["anna/1.jpg.jpg", "../anna/1.png"])
def test_names_that_cannot_be_used(name, tmp_path):
    (cure,) = own_data_set(tmp_path / "set", [name, "anna/3.png"]).missing
    assert f" for {name}" in cure


@pytest.mark.parametrize("name", ["photos/a,1.png", "photos/a.png "])
def test_names_that_a_list_would_not_give_back(name, tmp_path):
    own_data_set(tmp_path, ["photos/b.png", "photos/c.png"])
    (tmp_path / "photos/b.png").rename(tmp_path / name)
    (tmp_path / "pairs-train.csv").write_text(f'to, from\nphotos/c.png, "{name}"\n')
    assert any("without commas" in cure for cure in survey(tmp_path, SIZE).missing)


def test_a_table_without_pairs(people):
    (people / "train_pairs.txt").write_text("\n")
    assert any("train_pairs.txt lists none" in cure for cure in survey(people, SIZE).missing)


def test_folders_that_are_links_are_remarked_on(people, tmp_path):
    assert not any("a symbolic link" in note for note in survey(people, SIZE).notes)
    linked = tmp_path / "linked"
    shutil.copytree(people, linked, ignore=shutil.ignore_patterns("img"))
    (linked / "img").symlink_to(people / "img")
    (note,) = [note for note in survey(linked, SIZE).notes if "a symbolic link" in note]
    assert note.startswith("img: ") and "dvc repro --force prepare" in note


# The command


def run_survey(monkeypatch, capsys, *words):
    """Exit code, standard output and standard error of `xmdpt survey WORDS`."""
    return xmdpt(monkeypatch, "survey", *map(str, words)), *capsys.readouterr()


def test_the_command_reads_pictures_and_ends_in_one_line(people, monkeypatch, capsys):
    code, out, _ = run_survey(monkeypatch, capsys, people, "--size", SIZE, "--read")
    assert code == 0 and "101,966" in out and "12 pictures are readable" in out
    (people / NAME).write_bytes((people / NAME).read_bytes()[:600])
    code, _, err = run_survey(monkeypatch, capsys, people, "--size", SIZE, "--read")
    assert code == 2 and f"error: {people / NAME}: not a readable picture" in err
    (people / "train_pairs.txt").unlink()
    code, out, err = run_survey(monkeypatch, capsys, people)
    assert code == 2 and "MISSING train pairs" in out
    assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("name", BAD)
def test_bad_files_end_the_command_in_one_line(name, people, tmp_path, monkeypatch, capsys):
    spoil, _, _ = BAD[name]
    spoil(people)
    before = sorted(path for path in tmp_path.rglob("*"))
    code, _, err = run_survey(monkeypatch, capsys, people, "--size", SIZE, "--read")
    *bars, error = err.splitlines()
    assert code == 2 and error.startswith(f"error: {people}")
    assert not any("error" in line or "Traceback" in line for line in bars)
    assert sorted(path for path in tmp_path.rglob("*")) == before

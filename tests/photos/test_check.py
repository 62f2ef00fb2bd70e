"""`xmdpt check`: what a pose is taken for, in words and as a picture."""

import numpy as np
import pytest
from helpers.commands import xmdpt
from helpers.people import P0, NoFinder, body
from PIL import Image

from xmdpt.data.keypoints import draw_skeleton
from xmdpt.photos.check import SHOWN, SIDE, check_pose
from xmdpt.photos.framing import squash
from xmdpt.photos.subjects import Subject


@pytest.fixture
def files(tmp_path):
    """A framed photo, a larger one, and joints for each."""
    Image.new("RGB", (176, 256), (0, 90, 0)).save(tmp_path / "me.png")
    Image.new("RGB", (1000, 600), (0, 90, 0)).save(tmp_path / "field.png")
    np.savetxt(tmp_path / "me.txt", P0)
    np.savetxt(tmp_path / "padded.txt", P0 + np.array([40, 0]))
    np.savetxt(tmp_path / "field.txt", body(1, (400, 200)))
    return tmp_path


def check(monkeypatch, capsys, *words):
    """Exit code, standard output and standard error of `xmdpt check WORDS`."""
    return xmdpt(monkeypatch, "check", *map(str, words)), *capsys.readouterr()


def test_the_pose_is_drawn_over_the_photo_and_over_what_the_network_sees(files):
    checked = check_pose(Subject(files / "me.png", files / "me.txt"), NoFinder())
    left, right = checked.picture[:, :176], checked.picture[:, 176:]
    assert right.shape == (SIDE, SIDE, 3)
    photo = np.asarray(Image.open(files / "me.png"))
    for panel, ground, points in (
        (left, photo, P0),
        (right, squash(Image.open(files / "me.png"), SIDE), P0 * [SIDE / 176, 1]),
    ):
        skeleton = draw_skeleton(points, panel.shape[:2])
        seen = skeleton.any(axis=2)
        mixed = SHOWN * ground + (1 - SHOWN) * skeleton
        expected = np.where(seen[..., None], mixed, ground)
        assert (np.abs(panel - expected).max(axis=2) > 1).mean() < 0.01  # rounding moves an edge


def test_a_cut_photo_shows_the_pose_where_it_lies(files):
    checked = check_pose(Subject(files / "field.png", files / "field.txt"), NoFinder())
    left = checked.picture[:, : round(1000 * SIDE / 600)]
    rows, columns = np.nonzero(left[..., 1] != 90)
    points = body(1, (400, 200)) * SIDE / 600
    assert (
        np.abs([columns.min() - points[:, 0].min(), columns.max() - points[:, 0].max()]).max() < 6
    )
    assert np.abs([rows.min() - points[:, 1].min(), rows.max() - points[:, 1].max()]).max() < 6
    assert any("person: from 412,214 to 488,500" in line for line in checked.lines)


def test_without_a_photo_the_ground_is_black(files):
    checked = check_pose(Subject(files / "me.txt"), NoFinder())
    right = checked.picture[:, -SIDE:]
    assert (right == 0).all(axis=2).mean() > 0.7 and right.any()


def test_the_command_says_units_frame_and_missing_joints(files, monkeypatch, capsys):
    points = P0.copy()
    points[4] = 0
    np.savetxt(files / "me.txt", points)
    words = (files / "me.txt", "--photo", files / "me.png", "--out", files / "seen.png")
    code, out, _ = check(monkeypatch, capsys, *words)
    assert code == 0
    for text in ("pixels of a 176x256 photo", "176x256 from 0,0", "17 of 18", "right wrist"):
        assert text in out
    with Image.open(files / "seen.png") as seen:
        assert seen.size == (176 + SIDE, SIDE)
    words = (files / "padded.txt", "--photo", files / "me.png")
    assert "fit DeepFashion's 256x256 frame better" in check(monkeypatch, capsys, *words)[1]
    code, out, _ = check(monkeypatch, capsys, *words, "--units", "annotation")
    assert "units: DeepFashion's" in out and "fit" not in out


def test_a_folder_is_checked_file_by_file(files, monkeypatch, capsys):
    (files / "poses").mkdir()
    np.savetxt(files / "poses/a.txt", P0)
    np.savetxt(files / "poses/b.txt", P0 / 256)
    np.savetxt(files / "poses/c.txt", P0[:, ::-1])
    code, out, err = check(monkeypatch, capsys, files / "poses", "--out", files / "seen.png")
    assert code == 2 and "1 of 3 poses cannot be used; the first:" in err and "b.txt" in err
    assert "x and y swapped" in out and "a.txt: 18 of 18" in out
    with Image.open(files / "seen.png") as seen:
        assert seen.height == 2 * SIDE


@pytest.mark.parametrize(("words", "text"), [
    (["none.txt"], "no such key point file"), (["."], "is a folder"),
    (["empty"], "no key point files"),
    (["me.txt", "--out", "me.txt"], "pictures are written as"),
    (["me.txt", "--photo", "me.png", "--out", "me.png"], "files you gave"),
])  # fmt: skip
def test_bad_input_is_one_line(words, text, files, monkeypatch, capsys):
    (files / "empty").mkdir()
    monkeypatch.chdir(files)
    words = [*words, "--photo", "me.png"] if words == ["."] else words
    code, _, err = check(monkeypatch, capsys, *words)
    assert code == 2 and text in err and len(err.splitlines()) == 1


def test_a_slip_in_a_number_is_named_and_fills_no_memory(files, monkeypatch):
    points = P0.copy()
    points[7] = 1e6, 100  # the left wrist
    np.savetxt(files / "slip.txt", points)
    new, sizes = Image.new, []

    def noted(mode, size, *colour):
        sizes.append(size)
        return new(mode, size, *colour)

    monkeypatch.setattr(Image, "new", noted)
    checked = check_pose(Subject(files / "slip.txt"), NoFinder())
    assert any("left wrist lies far from all" in line for line in checked.lines)
    assert max(max(size) for size in sizes) <= SIDE

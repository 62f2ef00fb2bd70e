"""Many people in many poses."""

import csv
import os
import sys
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import both, xmdpt
from helpers.networks import make_pipeline
from helpers.people import SIZE, NoFinder, body, long_legged, write_people_and_poses
from PIL import Image

from xmdpt.album import COLUMNS, SHEET, TABLE, Album, How, Readings
from xmdpt.data.keypoints import draw_skeleton
from xmdpt.generate import draw, prepare
from xmdpt.photos.framing import squash
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.marking import MARK, save_picture
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.subjects import Subject
from xmdpt.photos.tables import every_pair, files_in, read_table
from xmdpt.support.owner import sole_owner


@pytest.fixture(scope="module")
def pipe(tiny_vae):
    return make_pipeline(tiny_vae)


@pytest.fixture
def files(tmp_path):
    """Two people, framed, and three poses."""
    return write_people_and_poses(tmp_path, ("me", "you"), 3)


def album(files, pipe, said=None, **how):
    how = How(num_inference_steps=2, **how)
    say = (said if said is not None else []).append
    return Album(files / "out", pipe, NoFinder(), how, say)


def lines_of(files):
    return every_pair([files / "me.png", files / "you.png"], files_in([files / "poses"], True))


def records(files):
    with (files / "out" / TABLE).open() as file:
        return list(csv.DictReader(file))


def test_each_picture_is_the_one_that_is_drawn_alone(files, pipe):
    lines, batches = lines_of(files), []

    def count(given):
        batches.extend(map(len, given))
        return given

    result = album(files, pipe, seed=5, num=2).draw(lines, count)
    assert (result.drawn, result.lines, result.problems) == (6, lines, [])
    assert batches == [4, 2], "eight pictures at a time"
    rows = records(files)
    assert [row["out"] for row in rows] == [line.name for line in lines]
    for row in rows[::2]:
        source, pose = (Subject(files / row[name]) for name in ("source", "pose"))
        prepared = prepare(source, pose, NoFinder(), say=str)
        alone = draw(pipe, prepared, [5, 6], num_inference_steps=2)
        assert int(row["seed"]) == alone.seeds[alone.best]
        assert float(row["closeness"]) == pytest.approx(max(alone.scores), abs=0.01)
        with Image.open(files / "out" / row["out"]) as made:
            assert made.info["Software"] == MARK
            wrong = np.asarray(made).astype(int) - np.asarray(alone.pictures[alone.best])
        assert np.abs(wrong[: -SIZE // 4]).max() <= 3, "but for the mark at its lower edge"


def test_the_next_call_draws_what_is_missing_or_changed(files, pipe):
    lines = lines_of(files)
    album(files, pipe).draw(lines, list)
    before = {path: path.stat().st_mtime_ns for path in (files / "out").glob("*.png")}
    assert album(files, pipe).draw(lines, list).drawn == 0
    (files / "out/me_p1.png").unlink()
    np.savetxt(files / "poses/p2.txt", body(2.2))
    np.savetxt(files / "poses/p9.txt", body(2.1))
    again = album(files, pipe).draw(lines_of(files), list)
    assert (again.drawn, len(again.lines)) == (5, 8)  # one is missing, two changed, two are new
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"me_p1.png", "me_p2.png", "you_p2.png"}
    assert album(files, pipe, seed=1).draw(lines, list).drawn == 6


def test_another_detector_or_encoder_draws_everything_anew(files, pipe):
    [line] = lines_of(files)[:1]
    how, finder = How(num_inference_steps=2), PeopleFinder()
    assert Album(files / "out", pipe, finder, how, str).draw([line], list).drawn == 1
    other = copy(pipe)
    other.register_to_config(imagenet_normalization=True)
    for by, expected in (
        ((pipe, PeopleFinder()), True),
        ((pipe, PeopleFinder(pose_estimator="other")), False),
        ((pipe, PeopleFinder(person_score=0.9)), False),
        ((other, finder), False),
    ):
        assert Album(files / "out", *by, how, str)._is_drawn(line) == expected


def test_a_call_that_is_killed_between_two_pictures_goes_on(files, pipe, monkeypatch):
    lines, saved = lines_of(files), []

    def save(picture, path, mark):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(path)
        save_picture(picture, path, mark)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("xmdpt.album.save_picture", save)
        album(files, pipe).draw(lines, list)
    again = album(files, pipe).draw(lines, list)
    assert (again.drawn, again.lines) == (4, lines)


def test_lines_of_a_table_have_seeds_and_names_of_their_own(files, pipe):
    (files / "t.csv").write_text(
        "source,pose,out,seed\nme.png,poses/p0.txt,a.png,7\nme.png,poses/p0.txt,b.jpg,8\n"
    )
    album(files, pipe).draw(read_table(files / "t.csv"), list)
    assert [(row["out"], row["seed"]) for row in records(files)] == [("a.png", "7"), ("b.jpg", "8")]


def test_what_cannot_be_used_is_said_once_and_the_rest_is_drawn(files, pipe):
    (files / "poses/p1.txt").write_text("nonsense")
    blank = files / "blank.png"
    Image.new("RGB", (750, 1101), "red").save(blank)
    poses = [*files_in([files / "poses"], True), files / "none.txt"]
    result = album(files, pipe).draw(every_pair([files / "me.png", blank], poses), list)
    assert [line.name for line in result.lines] == ["me_p0.png", "me_p2.png"]
    assert len(result.problems) == 3
    assert sorted(path.name for path in (files / "out").iterdir()) == [
        "me_p0.png", "me_p2.png", TABLE,
    ]  # fmt: skip


def test_a_strangers_file_is_not_written_over(files, pipe):
    (files / "out").mkdir()
    mine = files / "out/me_p0.png"
    mine.write_bytes(b"mine")
    with pytest.raises(PhotoError, match=r"me_p0\.png: is in the way"):
        album(files, pipe).draw(lines_of(files), list)
    assert mine.read_bytes() == b"mine" and len([*(files / "out").iterdir()]) == 1
    (files / "out" / TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(PhotoError, match="was not written by"):
        album(files, pipe)


def test_the_sheet_has_people_in_rows_and_poses_in_columns(files, pipe):
    lines = lines_of(files)
    made = album(files, pipe, mark=False)
    made.draw(lines, list)
    with Image.open(made.write_sheet(lines[:-1])) as sheet:
        pixels, (width, height) = np.asarray(sheet).astype(int), sheet.size
    assert width == 4 * SIZE
    cell = round(SIZE * 1101 / 750)
    strip = (height - 3 * cell) // 4
    assert (pixels[:cell, :SIZE] > 250).all(), "no pose stands above the people"
    drawn = np.asarray(Image.open(files / "out/me_p1.png")).astype(int)
    place = pixels[cell + strip : 2 * cell + strip, 2 * SIZE : 3 * SIZE]
    assert np.abs(place - drawn).mean() < 8, "up to JPEG"
    left_out = pixels[2 * (cell + strip) : 3 * cell + 2 * strip, 3 * SIZE + 8 :]
    assert (left_out > 240).all()
    [mine, yours] = made.write_gifs(lines)
    with Image.open(mine) as movie:
        assert (mine.name, yours.name, movie.n_frames) == ("me.gif", "you.gif", 3)


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    pipe.save_pretrained(folder)
    return folder


def test_the_command_draws_everybody_and_goes_on(folder, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    words = ["generate", "--source", "me.png", "--source", "you.png", "--pose", "poses",
             "--out", "out", "--weights", folder, "--steps", 2]  # fmt: skip
    assert xmdpt(monkeypatch, *words, "--gif") == 0
    assert "drew 6, found 0 already drawn" in capsys.readouterr().out
    names = {path.name for path in (files / "out").iterdir()}
    assert {SHEET, TABLE, "me.gif", "you.gif", "you_p2.png"} < names and len(names) == 10
    assert len(records(files)) == 6 and records(files)[0].keys() == {*COLUMNS}
    said, value = both(monkeypatch, capsys, *words)
    assert (value["drawn"], value["found"], value["problems"]) == (0, 6, [])
    assert said.endswith(f"wrote {', '.join(value['written'])}\n")
    (files / "poses/p9.txt").write_text("nonsense")
    assert xmdpt(monkeypatch, *words) == 2
    streams = capsys.readouterr()
    assert "drew 0, found 6 already drawn" in streams.out
    assert streams.err.splitlines()[-1].endswith("(2 of 8 pictures were not drawn)")
    assert "p9.txt" in streams.err.splitlines()[-1]


@pytest.mark.parametrize("name", [SHEET, "me.gif"])
def test_a_file_of_somebody_else_is_not_written_over(folder, files, monkeypatch, capsys, name):
    monkeypatch.chdir(files)
    (files / "out").mkdir()
    (files / "out" / name).write_text("mine")
    words = ["generate", "--source", "me.png", "--pose", "poses", "--out", "out", "--gif",
             "--weights", folder, "--steps", 2]  # fmt: skip
    assert xmdpt(monkeypatch, *words) == 2
    assert f"{name}: is in the way" in capsys.readouterr().err
    assert [path.read_text() for path in (files / "out").iterdir()] == ["mine"]


def test_one_person_with_joints_in_many_poses(folder, pipe, files, monkeypatch, capsys):
    """Nothing is detected, and the animation too shows the person's proportions."""
    monkeypatch.chdir(files)
    np.savetxt("me.txt", long_legged(0.15, (13, 4)))
    for number in (1, 2):
        np.savetxt(f"poses/p{number}.txt", body() + np.eye(18)[:, [7]] * [20 * number, -40])
    words = ["generate", "--source", "me.png", "--source-keypoints", "me.txt", "--pose", "poses",
             "--rescale-pose", "--out", "out", "--weights", folder, "--steps", 2, "--no-mark",
             "--gif"]  # fmt: skip
    assert xmdpt(monkeypatch, *words) == 0
    with Image.open("out/me.gif") as movie:
        assert movie.n_frames == 3
    person, pose = Subject(files / "me.png", files / "me.txt"), Subject(files / "poses/p1.txt")
    prepared = prepare(person, pose, NoFinder(), rescale=True, say=str)
    [alone] = draw(pipe, prepared, num_inference_steps=2).pictures
    wrong = np.asarray(Image.open("out/me_p1.png")).astype(int) - np.asarray(alone)
    assert np.abs(wrong).max() <= 3
    np.savetxt("me.txt", body(0.15, (13, 4)))
    capsys.readouterr()
    for drawn in (3, 0):
        assert xmdpt(monkeypatch, *words) == 0
        assert f"drew {drawn}, found {3 - drawn} already" in capsys.readouterr().out


def test_poses_in_one_frame_are_drawn_anew_when_one_is_added(files, pipe):
    def drawn():
        lines = every_pair([files / "me.png"], files_in([files / "poses"], True))
        return album(files, pipe, one_frame=True).draw(lines, list).drawn

    assert (drawn(), drawn()) == (3, 0)
    first = (files / "out/me_p0.png").read_bytes()
    np.savetxt(files / "poses/p3.txt", body(2, (500, 0)))
    (files / "poses/p9.txt").write_text("nonsense")
    assert drawn() == 4, "the frame is wider"
    assert (files / "out/me_p0.png").read_bytes() != first


def test_of_the_photos_of_poses_an_album_keeps_the_joints_alone(files):
    photo = files / "photo.png"  # a drawn skeleton, whose joints nobody has to find
    Image.fromarray(draw_skeleton(body(2.0, (200, 100)), (1101, 750))).save(photo)
    framed = Readings(How(), NoFinder(), str).pose(photo)
    assert framed.picture is None and framed.keypoints.shape == (18, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_an_album_has_more_pictures_than_files_may_be_open(files, pipe):
    """1,024 on many systems, 256 on a Mac."""
    import resource

    poses = [files / "poses/p0.txt", *(files / f"poses/q{number}.txt" for number in range(40))]
    for pose in poses[1:]:
        pose.symlink_to(poses[0])
    made, lines = album(files, pipe), every_pair([files / "me.png"], poses)
    made.draw(lines[:1], list)
    for line in lines[1:]:  # as if drawn
        (files / "out" / line.name).symlink_to(files / "out/me_p0.png")
        made._records[line.name] = made._records["me_p0.png"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/dev/fd"))) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        made.write_sheet(lines)
        [movie] = made.write_gifs(lines)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with Image.open(movie) as opened:
        assert opened.format == "GIF"


def test_the_caption_of_an_animation_names_its_seeds_by_size(files, pipe, monkeypatch):
    said = []
    monkeypatch.setattr("xmdpt.album.animate", lambda pictures, caption, path: said.append(caption))
    (files / "t.csv").write_text(
        "source,pose,seed\nme.png,poses/p0.txt,10\nme.png,poses/p1.txt,2\n"
    )
    made, lines = album(files, pipe), read_table(files / "t.csv")
    made.draw(lines, list)
    made.write_gifs(lines)
    assert said == ["each drawn alone, seed 2, 10"]


@pytest.mark.parametrize("change, said", [
    (["--table", "t.csv"], "--table names sources and poses"),
    (["--person", 1], "--person works with one person only, and this asks for more"),
    (["--pose-person", 1], "works with one person and one pose only, and this asks for more"),
    (["--out", "out.png"], "out.png: many pictures go into a folder"),
    (["--pose", "none.txt"], "none.txt: no such key point file (2 of 4 pictures were not drawn)"),
])  # fmt: skip
def test_what_does_not_go_together_is_one_line(folder, files, monkeypatch, capsys, change, said):
    monkeypatch.chdir(files)
    words = ["generate", "--source", "me.png", "--source", "you.png", "--pose", "poses/p0.txt",
             "--out", "out", "--weights", folder, "--steps", 2]  # fmt: skip
    assert xmdpt(monkeypatch, *words, *change) == 2
    error = capsys.readouterr().err
    assert said in error and error.splitlines()[-1].startswith("error: ")


def test_a_folder_may_have_a_dot_in_its_name(folder, files, monkeypatch):
    words = ["generate", "--source", files / "me.png", "--pose", files / "poses", "--steps", 2]
    assert xmdpt(monkeypatch, *words, "--weights", folder, "--out", files / "album.v2") == 0
    assert (files / "album.v2" / TABLE).is_file()


def test_a_missing_flag_is_named(files, monkeypatch, capsys):
    words = ["generate", "--source", files / "me.png", "--out", files / "out"]
    assert xmdpt(monkeypatch, *words) == 2
    assert "--pose is missing" in capsys.readouterr().err
    assert xmdpt(monkeypatch, *words, "--pose", files / "poses/p0.txt", "--gif") == 2
    assert "--gif needs several poses" in capsys.readouterr().err
    assert xmdpt(monkeypatch, *words, "--pose", files / "poses/p0.txt", "--one-frame") == 2
    assert "--one-frame needs several poses" in capsys.readouterr().err


def test_an_album_has_one_process_at_work(folder, files, monkeypatch, capsys):
    (files / "out").mkdir()
    words = ["generate", "--source", files / "me.png", "--pose", files / "poses", "--steps", 2]
    with sole_owner(files / "out" / TABLE):
        assert xmdpt(monkeypatch, *words, "--weights", folder, "--out", files / "out") == 2
    assert "is at work on it" in capsys.readouterr().err


def test_joints_count_by_what_they_are_not_by_their_path(files, pipe, monkeypatch):
    monkeypatch.chdir(files)
    lines = every_pair([files / "me.png"], files_in([files / "poses"], True))
    np.savetxt("me.txt", long_legged(0.15, (13, 4)))
    for path, drawn in ((files / "me.txt", 3), (Path("me.txt"), 0)):
        assert album(files, pipe, source_keypoints=path).draw(lines, list).drawn == drawn


def test_an_album_keeps_sources_as_small_as_it_draws_them(files, pipe):
    path = files / "me.png"
    whole = Readings(How(), NoFinder(), str).source(path)
    small = Readings(How(), NoFinder(), str, (), pipe.size).source(path)
    assert small.picture.size == (pipe.size, pipe.size)
    assert np.array_equal(squash(small.picture, pipe.size), squash(whole.picture, pipe.size))

"""Joints of data sets that are missing, misplaced or in another frame: inputs by what is said."""

import json

import numpy as np
import pytest
from helpers.commands import xmdpt
from helpers.datasets import SPLITS, everyone
from helpers.people import P0, SIZE
from PIL import Image, ImageDraw

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.fit import likely_slip, looks_annotated, on_white, set_remarks, upper_body
from xmdpt.data.keypoints import LIMBS, mark_missing, missing, to_padded
from xmdpt.data.layouts import from_rows
from xmdpt.data.prepare import make_index
from xmdpt.data.survey import survey

COUNT = 6


def moved(points, x, y=0):
    return points + np.array([x, y])


PADDED = moved(P0, 40)


def draw_body(points, size=(176, 256)):
    """A dark figure around the joints, on white."""
    picture = Image.new("RGB", size, "white")
    canvas = ImageDraw.Draw(picture)
    for start, end in LIMBS:
        canvas.line([tuple(points[start]), tuple(points[end])], fill=(60, 40, 90), width=14)
    for x, y in points:
        canvas.ellipse((x - 7, y - 7, x + 7, y + 7), fill=(60, 40, 90))
    return picture


@pytest.fixture
def standing(tmp_path):
    """A set of 6 people on white, 176x256, without joints."""
    root = tmp_path / "set"
    root.mkdir()
    for number in range(COUNT):
        draw_body(moved(P0, number - 3)).save(root / f"p{number}.png")
    names = [f"p{number}.png" for number in range(COUNT)]
    for split, (first, second) in zip(SPLITS, (names[:2], names[2:4]), strict=True):
        (root / f"pairs-{split}.csv").write_text(f"from,to\n{first},{second}\n")
        (root / f"{split}.lst").write_text("\n".join(names[:2] if split == "train" else names[2:]))
    return root


def text_files(root, points_of):
    (root / "pose").mkdir()
    for number in range(COUNT):
        np.savetxt(root / f"pose/p{number}.txt", points_of(number))


def table(root, points_of):
    lines = ["name:keypoints_y:keypoints_x"]
    for number in range(COUNT):
        xs, ys = np.asarray(points_of(number)).T.tolist()
        lines.append(f"p{number}.png: {json.dumps(ys)}: {json.dumps(xs)}")
    (root / "keypoints.csv").write_text("\n".join(lines))


def patn_table(root, points_of):
    table(root, points_of)
    (root / "keypoints.csv").rename(root / "fasion-resize-annotation-train.csv")


def true(number):
    return moved(P0, number - 3)


def none_of(number):
    return np.full((18, 2), -1.0)


def two_of(number):
    return np.where(np.arange(18)[:, None] < 2, true(number), -1)


def with_zeros(frame):
    def points_of(number):
        points = moved(true(number), *frame)
        points[[4, 7]] = 0
        return points

    return points_of


# Right values


@pytest.mark.parametrize(("write", "frame"), [
    (text_files, [40, 0]), (table, [0, 0]), (patn_table, [0, 0]),
])  # fmt: skip
def test_zeros_are_missing_joints_in_every_form(write, frame, standing):
    write(standing, with_zeros(frame))
    data = DeepFashion(standing, SIZE)
    for number in range(COUNT):
        points = data.keypoints(f"p{number}.png")
        assert missing(points).nonzero()[0].tolist() == [4, 7]
        np.testing.assert_allclose(
            points[~missing(points)], true(number)[~missing(points)] + [40, 0]
        )


def test_a_score_column_says_which_joints_are_there(standing):
    scores = np.full(18, 0.9)
    scores[[3, 9]] = 0.2, 0.0
    text_files(standing, lambda number: np.c_[moved(true(number), 40), scores])
    points = DeepFashion(standing, SIZE).keypoints("p0.png")
    assert missing(points).nonzero()[0].tolist() == [3, 9]


@pytest.mark.parametrize("write", [text_files, table, patn_table])
def test_joints_that_fit_are_passed_without_a_word(write, standing, tmp_path):
    write(standing, lambda number: moved(true(number), 40 if write is text_files else 0))
    found, said = survey(standing, SIZE), []
    make_index(found, tmp_path / "index", progress=iter, say=said.append)
    assert found.notes == [] and said == []


# Refused: nothing is written


@pytest.mark.parametrize(("points_of", "text"), [
    (none_of, "0 joints .none., needs 4"),
    (two_of, "2 joints .nose, neck."),
    (lambda number: true(number) / [176, 256], "not fractions"),
    (lambda number: true(number) / [88, 128] - 1.001, "not fractions"),
])  # fmt: skip
@pytest.mark.parametrize("write", [text_files, table, patn_table])
def test_a_set_without_poses_is_refused_before_anything_is_written(
    write, points_of, text, standing, tmp_path, monkeypatch, capsys
):
    write(standing, points_of)
    with pytest.raises(DataError, match=rf"{COUNT} of {COUNT} pictures .*{text}") as error:
        make_index(survey(standing, SIZE), tmp_path / "index", progress=iter)
    files = {text_files: "files in pose", table: "keypoints.csv"}
    assert files.get(write, "fasion-resize-annotation-train.csv") in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "index").exists()
    assert xmdpt(monkeypatch, "survey", str(standing), "--read") == 2
    assert "make a pose" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [
    np.c_[np.arange(18), PADDED],  # an index in front
    np.c_[PADDED, np.full(18, 57)],
])  # fmt: skip
def test_a_score_above_1_is_none(rows, standing):
    text_files(standing, lambda number: rows)
    with pytest.raises(DataError, match=r"pose/p0.txt: row 1 .*columns are x y \[score\]"):
        survey(standing, SIZE)


# Some pictures without a pose


@pytest.mark.parametrize("few", ["keep", "drop", "stop"])
def test_pictures_without_a_pose_are_counted_and_named(few, standing, tmp_path):
    text_files(standing, lambda one: none_of(one) if one == 5 else moved(true(one), 40))
    found = survey(standing, SIZE, few)
    (said,) = found.missing if few == "stop" else found.notes
    assert "1 of 6 pictures (0 train pairs, 0 test pairs) have no pose" in said and "p5.png" in said
    if few != "stop":
        make_index(found, tmp_path / "index", progress=iter)
        kept = everyone(DeepFashion(tmp_path / "index", SIZE))
        assert ("p5.png" in kept) == (few == "keep") and len(kept) == COUNT - (few == "drop")


def test_pairs_go_with_their_pictures(standing):
    text_files(standing, lambda one: none_of(one) if one == 1 else moved(true(one), 40))
    (standing / "pairs-train.csv").write_text("from,to\np0.png,p1.png\np0.png,p0.png\n")
    found = survey(standing, SIZE, "drop")
    assert found.pairs["train"] == [("p0.png", "p0.png")] and found.pictures["train"] == ["p0.png"]
    (standing / "pairs-train.csv").write_text("from,to\np0.png,p1.png\n")
    assert any("none is left" in cure for cure in survey(standing, SIZE, "drop").missing)


# Said: joints beside the people


@pytest.mark.parametrize(("write", "points_of", "texts"), [
    (text_files, true, ["left of the middle", "white background"]),
    (table, lambda number: moved(true(number), 40), ["right of the middle", "white background"]),
    (table, lambda number: true(number) / 4, ["another resolution", "white background"]),
    (text_files, lambda number: moved((P0 - 88) * [2, 1], 128, 88), ["white background"]),
])  # fmt: skip
def test_joints_in_another_frame_are_remarked_on(
    write, points_of, texts, standing, tmp_path, monkeypatch, capsys
):
    write(standing, points_of)
    said = []
    found = survey(standing, SIZE)
    make_index(found, tmp_path / "index", progress=iter, say=said.append)
    assert len(found.notes) == len(texts)
    assert all(text in note for text, note in zip(texts, found.notes, strict=True))
    assert "white background" in said[-1], "the survey alone does not look at pictures"
    assert xmdpt(monkeypatch, "survey", str(standing), "--read") == 0
    out = capsys.readouterr().out
    assert all(text in out for text in texts)


# Said: what pairs show


def dress(path, points, colour):
    """Fill the body between shoulders and hips."""
    picture = Image.open(path)
    corners = [tuple(points[joint]) for joint in (2, 5, 11, 8)]
    ImageDraw.Draw(picture).polygon(corners, fill=colour)
    picture.save(path)


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ((200, 30, 30), (200, 30, 30), 0),
        ((200, 30, 30), (125, 18, 18), 0),  # the same in shadow
        ((200, 30, 30), (30, 30, 200), 1),
        ((20, 20, 20), (235, 235, 235), 1),
    ],
)
def test_other_clothes_are_seen_by_their_colour(
    first, second, count, standing, tmp_path, monkeypatch, capsys
):
    text_files(standing, lambda number: moved(true(number), 40))
    for number, colour in ((0, first), (1, second)):
        dress(standing / f"p{number}.png", true(number), colour)
    said = []
    make_index(survey(standing, SIZE), tmp_path / "index", progress=iter, say=said.append)
    assert len(said) == count
    assert xmdpt(monkeypatch, "survey", str(standing), "--read") == 0
    out = capsys.readouterr().out
    words = "1 of 1 train pairs show upper bodies of very different colours"
    assert (words in out) == bool(count) and all(words in note for note in said)
    assert "p0.png -> p1.png" in out or not count


def test_a_body_from_the_side_or_without_a_hip_shows_no_clothes():
    picture = np.full((256, 176, 3), 90, np.uint8)
    assert upper_body(P0, picture) is not None
    side, hidden = P0.copy(), P0.copy()
    side[:, 0] = 88
    hidden[8] = -1
    assert upper_body(side, picture) is None and upper_body(hidden, picture) is None
    grey = upper_body(P0, picture)
    assert abs(grey[0] - 38) < 1 and np.abs(grey[1:]).max() < 0.1  # CIELAB of (90, 90, 90)


def test_one_picture_under_two_names_is_said(standing, tmp_path):
    """As source and target, and on both sides of the split."""
    text_files(standing, lambda number: moved(true(number), 40))
    (standing / "p1.png").write_bytes((standing / "p0.png").read_bytes())
    (standing / "p3.png").write_bytes((standing / "p0.png").read_bytes())
    said = []
    make_index(survey(standing, SIZE), tmp_path / "index", progress=iter, say=said.append)
    pair, across = said
    assert "1 train pairs have nearly the same picture as source and target: p0.png -> p1" in pair
    assert "1 test pictures are nearly the same as training pictures of other names: p3" in across


# The rules alone


def test_the_share_on_white():
    picture = np.asarray(draw_body(P0))
    assert on_white(P0, picture) == 0
    assert on_white(moved(P0, 60), picture) > 0.5
    assert on_white(np.full((18, 2), -1.0), picture) is None
    assert on_white(P0, np.zeros((256, 176, 3), np.uint8)) is None, "no white background"


@pytest.mark.parametrize("picture", [
    np.asarray(draw_body(P0)), np.full((256, 176, 3), 90, np.uint8),
], ids=["on white", "on grey"])  # fmt: skip
def test_annotations_given_as_pixels_are_recognised(picture):
    assert looks_annotated(PADDED, picture)
    assert not looks_annotated(P0, picture)
    assert not looks_annotated(P0[::-1], picture)


def test_a_slip_is_named_after_its_likely_cause():
    far = P0.copy()
    far[17] = 5000
    line = np.c_[np.arange(18), 2 * np.arange(18)] * 5.0
    cases = {
        "left ear lies far": far, "one line": line, "x and y swapped": P0[:, ::-1],
        "below the feet": moved(P0 * [1, -1], 0, 256),
    }  # fmt: skip
    for text, points in cases.items():
        assert text in likely_slip(points)
    lying = moved(P0[:, ::-1] * [-1, 1], 256)  # the feet to the left: no swap
    head = np.where(np.arange(18)[:, None] < 2, P0, -1.0)
    for points in (P0, lying, head, np.full((18, 2), -1.0)):
        assert likely_slip(points) is None


def test_one_rule_for_missing_joints():
    points, scores = P0.copy(), np.full(18, 0.9)
    points[0], points[1, 1], points[2], scores[3], scores[4] = 0, -1, (0, 5), 0.29, 0.3
    assert missing(mark_missing(points, scores)).nonzero()[0].tolist() == [0, 1, 3]
    visible = np.full(18, 2.0)
    visible[5:7] = 0, 1
    assert missing(mark_missing(P0, visible)).nonzero()[0].tolist() == [5]
    assert np.array_equal(mark_missing(P0, np.full(18, 1.05)), P0), "heat maps overshoot"
    with pytest.raises(ValueError, match="row 2 has the score 3"):
        mark_missing(P0, np.array([1, 3, *[0.5] * 16]))
    with pytest.raises(ValueError, match="NaN"):
        from_rows(np.c_[P0, np.full(18, np.nan)])


def test_a_set_of_poses_in_the_middle_needs_no_remark():
    padded = to_padded(P0, (256, 176))
    assert set_remarks(np.stack([padded, moved(padded, 9)]), [None, 0.2]) == []
    assert set_remarks(np.full((3, 18, 2), -1.0)) == []


def test_a_picture_with_two_poses_in_a_table_is_named(standing):
    table(standing, true)
    path = standing / "keypoints.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    DeepFashion(standing, SIZE).keypoints("p0.png")  # the same joints twice are no doubt
    ys, xs = moved(true(0), 9).T[::-1].tolist()
    path.write_text("\n".join([*lines, f"p0.png: {ys}: {xs}"]))
    with pytest.raises(DataError, match=r"p0\.png has other joints in a line above"):
        DeepFashion(standing, SIZE).keypoints("p0.png")

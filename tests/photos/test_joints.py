"""Key point files: every format, several people, and what is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.people import body

from xmdpt.data.keypoints import JOINTS, annotation_to_pixels, missing
from xmdpt.data.layouts import from_rows
from xmdpt.photos.joints import choose, read_keypoints
from xmdpt.photos.loading import PhotoError

NECK = JOINTS.index("neck")


def coco17():
    """COCO's joints of `body`, by name: nose, eyes, ears, shoulders, ..., left first."""
    order = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder",
             "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
             "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
             ]  # fmt: skip
    return body()[[JOINTS.index(name) for name in order]]


def with_neck_between_shoulders(points):
    points = points.copy()
    points[NECK] = (points[2] + points[5]) / 2
    return points


def write(path: Path, content) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_every_format_gives_the_same_joints(tmp_path):
    expected = with_neck_between_shoulders(body())
    openpose = np.c_[expected, np.full(18, 0.9)].ravel().tolist()
    coco = np.c_[coco17(), np.full(17, 2)]
    np.savetxt(tmp_path / "18.txt", expected)
    np.savetxt(tmp_path / "17.txt", coco17(), delimiter=",", header="x,y")
    np.savetxt(tmp_path / "17s.txt", coco)
    write(tmp_path / "op.json", {"people": [{"pose_keypoints_2d": openpose}]})
    write(tmp_path / "coco.json", {"keypoints": coco.ravel().tolist(), "image_id": 3})
    write(tmp_path / "list.json", coco17().tolist())
    remarks = [f"{x} {y}  # {name}" for (x, y), name in zip(expected, JOINTS, strict=True)]
    write(tmp_path / "remarks.txt", "\n".join(["# mine", "", *remarks]))
    body_25 = np.zeros((25, 3))  # OpenPose's newer model: the middle of the hips is its 9th
    body_25[:19] = np.insert(np.reshape(openpose, (18, 3)), 8, [1, 1, 0.9], axis=0)
    write(tmp_path / "op25.json", {"people": [{"pose_keypoints_2d": body_25.ravel().tolist()}]})
    annotation = {"keypoints": coco.ravel().tolist(), "image_id": 3}
    write(tmp_path / "coco_file.json", {"annotations": [annotation]})
    formats = ("18.txt", "17.txt", "17s.txt", "remarks.txt", "op.json", "op25.json", "coco.json",
               "coco_file.json", "list.json")  # fmt: skip
    for name in formats:
        np.testing.assert_allclose(read_keypoints(tmp_path / name, (320, 100)), expected)


def test_annotation_units(tmp_path):
    annotation = body(0.5, (60, 20))
    np.savetxt(tmp_path / "a.txt", annotation)
    read = read_keypoints(tmp_path / "a.txt", (512, 352), "annotation")
    np.testing.assert_allclose(read, annotation_to_pixels(annotation, (512, 352)))
    read = read_keypoints(tmp_path / "a.txt", None, "annotation")
    np.testing.assert_allclose(read, annotation - [40, 0])


def test_scores_and_visibilities_tell_what_is_missing():
    rows = np.c_[coco17(), np.ones(17)]
    rows[6, 2] = 0.1  # right shoulder
    assert missing(from_rows(rows)).nonzero()[0].tolist() == [NECK, 2]
    rows = np.c_[body(), np.ones(18)]
    rows[4, 2] = 0
    assert missing(from_rows(rows)).nonzero()[0].tolist() == [4]


def test_several_people_in_a_file_are_listed(tmp_path):
    people = [np.c_[body(1, (shift, 0)), np.ones(18)].ravel().tolist() for shift in (0, 200)]
    nobody = [0.0] * 54
    content = {"people": [{"pose_keypoints_2d": p} for p in (nobody, *people)]}
    path = write(tmp_path / "two.json", content)
    with pytest.raises(PhotoError, match=r"shows 2 people.*--pose-person N: 1: .*; 2: ") as error:
        read_keypoints(path, flag="--pose-person")
    assert len(str(error.value).splitlines()) == 1
    np.testing.assert_allclose(read_keypoints(path, person=2), body(1, (200, 0)))
    with pytest.raises(PhotoError, match="no person 3"):
        read_keypoints(path, person=3)


def test_choose_refuses_nobody():
    with pytest.raises(PhotoError, match="no person found"):
        choose([], None, "sea.jpg", "--person")


def test_files_that_hold_no_joints_are_one_line(tmp_path):
    nan, outside, few = body(), body(), np.full((18, 2), -1.0)
    nan[3] = np.nan
    outside[4] = (500, 20)
    few[:3] = body()[:3]
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00pickle")
    cases = {
        "nan.txt": (nan, "NaN"), "outside.txt": (outside, "right wrist.*annotation"),
        "few.txt": (few, "3 joints .nose, neck, right shoulder., needs 4"),
        "shape.txt": (body()[:9], "shape"), "words.txt": ("a b\n" * 18, "18"),
        "ragged.txt": ("1 2\n" * 17 + "1\n", "18"), "empty.txt": ("", "18"),
        "half.json": ('{"people": [', "not valid JSON"), "other.json": ({"a": 1}, "OpenPose"),
        "list.json": ([1, 2], "18"), "null.json": ("null", "18"),
        "deep.json": ("[" * 100_000, "deep.json"),
        "people.json": ({"people": 3}, "must be a list"),
        "person.json": ({"people": [3]}, "must be a list"),
        "same.txt": ("7 7\n" * 18, "0.0 pixels"),
        "annotations.json": ({"annotations": None}, "must be a list"),
        "coco.json": ({"keypoints": [1] * 50}, "not 50 numbers"),
        "nobody.json": ({"people": []}, "no person"), "binary.txt": (None, "not a text file"),
    }  # fmt: skip
    for name, (content, text) in cases.items():
        if isinstance(content, np.ndarray):
            np.savetxt(tmp_path / name, content)
        elif content is not None:
            write(tmp_path / name, content)
        with pytest.raises(PhotoError, match=text) as error:
            read_keypoints(tmp_path / name, (320, 100))
        assert name in str(error.value) and len(str(error.value).splitlines()) == 1
    with pytest.raises(PhotoError, match="no such"):
        read_keypoints(tmp_path / "none.txt")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    rows = "\n".join(f"{x} {y}" for x, y in np.arange(36).reshape(18, 2))
    (tmp_path / "a.txt").write_text(rows, encoding="utf-8-sig")
    (tmp_path / "b.json").write_text(json.dumps(np.arange(36).reshape(18, 2).tolist()), "utf-8-sig")
    assert np.array_equal(read_keypoints(tmp_path / "a.txt"), read_keypoints(tmp_path / "b.json"))
    (tmp_path / "c.txt").write_text(rows, encoding="utf-16")  # as PowerShell writes
    assert np.array_equal(read_keypoints(tmp_path / "a.txt"), read_keypoints(tmp_path / "c.txt"))
    (tmp_path / "d.txt").write_text(f"{rows}  # rückwärts", encoding="latin-1")
    with pytest.raises(PhotoError, match=r"line 18 is not UTF-8.*iconv"):
        read_keypoints(tmp_path / "d.txt")


def test_fractions_of_a_picture_are_no_pixels(tmp_path):
    np.savetxt(tmp_path / "pose.txt", np.random.default_rng(0).random((18, 2)))
    with pytest.raises(PhotoError, match="pixels, not fractions"):
        read_keypoints(tmp_path / "pose.txt")

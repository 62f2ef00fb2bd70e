"""What people give as a pose, by entry: the right joints, or what is said to be wrong."""

import json

import numpy as np
import pytest
from helpers.people import P0, SIZE, NoFinder
from PIL import Image

from xmdpt.data.keypoints import JOINTS, draw_skeleton, missing
from xmdpt.data.skeletons import read_skeleton
from xmdpt.generate import prepare
from xmdpt.photos.joints import read_keypoints
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.poses import draw_pose
from xmdpt.photos.subjects import Subject, find_pose, read_photo_subject

PHOTO = (256, 176)
NECK = JOINTS.index("neck")
MIDDLE = P0.copy()
MIDDLE[NECK] = (P0[2] + P0[5]) / 2
GIVEN = {name: point for name, point in zip(JOINTS, P0.tolist(), strict=True) if name != "neck"}
COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
    *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
]
MEDIAPIPE = {
    0: "nose", 2: "left_eye", 5: "right_eye", 7: "left_ear", 8: "right_ear", 11: "left_shoulder",
    12: "right_shoulder", 13: "left_elbow", 14: "right_elbow", 15: "left_wrist", 16: "right_wrist",
    23: "left_hip", 24: "right_hip", 25: "left_knee", 26: "right_knee", 27: "left_ankle",
    28: "right_ankle",
}  # fmt: skip


def scored(points, score=0.9):
    return np.c_[points, np.full(len(points), score)].ravel().tolist()


def coco(count=17, extra=None):
    """COCO's 17, then others at a far place, of which some are given."""
    points = [GIVEN[name] for name in COCO] + [[170.0, 250.0]] * (count - 17)
    for index, point in (extra or {}).items():
        points[index] = point
    return points


def openpose(points=P0, **more):
    return {"people": [{"pose_keypoints_2d": scored(points)}], **more}


def landmarks(fractions=(1 / 176, 1 / 256)):
    found = [{"x": 0.5, "y": 0.5, "z": 0.1, "visibility": 0.9} for _ in range(33)]
    for index, name in MEDIAPIPE.items():
        x, y = np.array(GIVEN[name]) * fractions
        found[index] |= {"x": x, "y": y}
    return found


def rows(points):
    return "\n".join(" ".join(f"{value:g}" for value in row) for row in points)


def photo_of_somebody(path):
    """A photo in which there is something to cut out."""
    photo = np.full((256, 176, 3), 200, np.uint8)
    photo[20:240, 50:126] = 60
    Image.fromarray(photo).save(path)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# Right joints

CANVAS = {"canvas_width": 176, "canvas_height": 256}
HALPE = {18: P0[NECK].tolist()}
DWPOSE = {"bodies": {"candidate": (P0 / [176, 256]).tolist(), "subset": [[*range(18)]]}}
RIGHT = {
    "rows.txt": (rows(P0), P0),
    "commas.csv": ("x,y,score\n" + rows(np.c_[P0, np.full(18, 1)]).replace(" ", ","), P0),
    "semicolons.csv": (rows(P0).replace(" ", ";"), P0),
    "coco133.txt": (rows(coco(133)), MIDDLE),
    "openpose.json": (openpose(), P0),
    "controlnet.json": ([openpose(**CANVAS)], P0),
    "controlnet fractions.json": ([openpose(P0 / [176, 256], **CANVAS)], P0),
    "alphapose.json": (
        [{"image_id": "a.jpg", "keypoints": scored(coco()), "score": 2.9}], MIDDLE,
    ),
    "halpe26.json": ([{"image_id": "a.jpg", "keypoints": scored(coco(26, HALPE))}], P0),
    "halpe136.json": ([{"keypoints": scored(coco(136, HALPE))}], P0),
    "wholebody.json": ({"keypoints": scored(coco(133))}, MIDDLE),
    "mmpose.json": ([[{"keypoints": coco(), "keypoint_scores": [0.9] * 17}]], MIDDLE),
    "instances.json": ({"instances": [{"keypoints": coco(), "keypoint_scores": [1] * 17}]}, MIDDLE),
}  # fmt: skip
ONLY_WITH_A_PHOTO = {
    "mediapipe.json": (landmarks(), MIDDLE),
    "mediapipe people.json": ({"pose_landmarks": [landmarks()]}, MIDDLE),
    "dwpose.json": (DWPOSE, P0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_every_format_gives_the_same_joints_on_every_entry(name, tmp_path):
    content, expected = RIGHT[name]
    path = write(tmp_path / name, content)
    for size in (None, PHOTO):
        np.testing.assert_allclose(read_keypoints(path, size), expected, atol=1e-9)
    plain = write(tmp_path / "plain.txt", rows(expected))
    drawn = draw_pose(path, 256).astype(int)  # fractions may end on the next pixel
    assert np.abs(drawn - draw_pose(plain, 256)).mean() < 3


@pytest.mark.parametrize("name", ONLY_WITH_A_PHOTO)
def test_fractions_need_the_photo(name, tmp_path):
    content, expected = ONLY_WITH_A_PHOTO[name]
    path = write(tmp_path / name, content)
    np.testing.assert_allclose(read_keypoints(path, PHOTO), expected)
    with pytest.raises(PhotoError, match="needs the photo that they belong to"):
        read_keypoints(path)


def test_a_canvas_is_scaled_to_the_photo(tmp_path):
    path = write(tmp_path / "a.json", [openpose(P0 * 2, canvas_width=352, canvas_height=512)])
    np.testing.assert_allclose(read_keypoints(path, PHOTO), P0)
    np.testing.assert_allclose(read_keypoints(path), P0 * 2)
    canvas = {"canvas_width": 352, "canvas_height": 512}
    path = write(tmp_path / "b.json", DWPOSE | canvas)
    np.testing.assert_allclose(read_keypoints(path, PHOTO), P0)
    np.testing.assert_allclose(read_keypoints(path), P0 * 2)


def test_landmarks_out_of_sight_or_beside_the_picture_are_missing(tmp_path):
    found = landmarks()
    found[28]["visibility"] = 0.1
    found[27]["y"] = 1.2
    points = read_keypoints(write(tmp_path / "a.json", found), PHOTO)
    assert missing(points).nonzero()[0].tolist() == [10, 13]


UNSURE = np.where(np.arange(18) == 4, 0.05, 0.9)


@pytest.mark.parametrize(("name", "content"), [
    ("zeros.txt", rows(np.where(np.arange(18)[:, None] == 4, 0, P0))),
    ("minus.txt", rows(np.where(np.arange(18)[:, None] == 4, -1, P0))),
    ("score.txt", rows(np.c_[P0, UNSURE])),
    ("score.json", {"people": [{"pose_keypoints_2d": np.c_[P0, UNSURE].ravel().tolist()}]}),
    ("zeros.json", np.where(np.arange(18)[:, None] == 4, 0, P0).tolist()),
])  # fmt: skip
def test_one_rule_for_missing_joints(name, content, tmp_path):
    points = read_keypoints(write(tmp_path / name, content), PHOTO)
    assert missing(points).nonzero()[0].tolist() == [4]


# Refused, in one line, whether there is a photo or not

WRONG = {
    "fractions.txt": (rows(P0 / [176, 256]), "not fractions"),
    "signed.txt": (rows(P0 / [88, 128] - 1.001), "not fractions"),
    "signed.json": (openpose(P0 / [88, 128] - 1.001), "not fractions"),
    "index.txt": (rows(np.c_[np.arange(18), P0]), r"row 1 has the score 34.*columns are x y"),
    "index.csv": (
        "i,x,y\n" + rows(np.c_[np.arange(18), P0]).replace(" ", ","), "the columns are i x y",
    ),
    "names.csv": ("\n".join(f"{n},1,2" for n in JOINTS), "not convert string to float: 'nose'"),
    "table.csv": ("name:keypoints_y:keypoints_x\na.png: [1]: [2]", "needs 18 rows x y"),
    "seven.json": ({"keypoints": scored(P0[:7])}, r"Halpe's 26.*\(7, 2\)"),
    "several.json": ([{"image_id": n, "keypoints": scored(coco())} for n in "ab"], "2 pictures"),
    "frames.json": ([openpose(**CANVAS)] * 2, "2 pictures"),
    "canvas.json": (openpose(canvas_width=0, canvas_height=256), "canvas_width and"),
    "mixed.json": ([{"keypoints": scored(coco())}, 3], "no JSON objects"),
    "lists.json": ({"landmarks": 3}, "must be a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_pose_is_refused_on_every_entry(name, tmp_path):
    content, text = WRONG[name]
    path = write(tmp_path / name, content)
    photo_of_somebody(tmp_path / "me.png")
    person = Subject(tmp_path / "me.png")
    for ask in (
        lambda: read_keypoints(path),
        lambda: read_keypoints(path, PHOTO),
        lambda: draw_pose(path, SIZE),
        lambda: prepare(person, Subject(path), NoFinder()),
        lambda: prepare(person, Subject(tmp_path / "me.png", path), NoFinder()),
    ):
        with pytest.raises(PhotoError, match=text) as error:
            ask()
        assert name in str(error.value) and "\n" not in str(error.value)


def test_a_pose_of_a_few_percent_is_none(tmp_path):
    path = write(tmp_path / "small.txt", rows(P0 / 10))
    assert np.allclose(read_keypoints(path, PHOTO), P0 / 10)
    with pytest.raises(PhotoError, match=r"all joints lie within 20\.4 pixels"):
        read_keypoints(path, (2560, 1760))


# Remarks

far = P0.copy()
far[17] = 5000
REMARKS = {
    "swapped": (P0[:, ::-1], "are x and y swapped"),
    "upward": (P0 * [1, -1] + np.array([0, 256]), "count from the lower edge"),
    "line": (np.c_[np.arange(18), np.arange(18)] * 5 + 1, "on one line"),
    "far": (far, "left ear lies far"),
}


@pytest.mark.parametrize("name", REMARKS)
def test_a_pose_that_nobody_takes_is_drawn_with_one_remark(name, tmp_path):
    points, text = REMARKS[name]
    photo_of_somebody(tmp_path / "me.png")
    path = write(tmp_path / f"{name}.txt", rows(points))
    said = []
    prepare(Subject(tmp_path / "me.png"), Subject(path), NoFinder(), say=said.append)
    (note,) = [line for line in said if line.startswith("note: ")]
    assert text in note and path.name in note


@pytest.mark.parametrize(("units", "notes"), [(None, 1), ("pixels", 0), ("annotation", 0)])
@pytest.mark.parametrize("grey", [90, 255])
def test_joints_that_fit_the_frame_better_than_the_photo(grey, units, notes, tmp_path):
    photo = np.full((256, 176, 3), grey, np.uint8)
    photo[20:240, 50:126] = 60
    Image.fromarray(photo).save(tmp_path / "me.png")
    path = write(tmp_path / "pose.txt", rows(P0 + np.array([40, 0])))
    said = []
    pose = Subject(tmp_path / "me.png", path, units)
    prepare(Subject(tmp_path / "me.png"), pose, NoFinder(), say=said.append)
    found = [line for line in said if "DeepFashion's 256x256 frame" in line]
    assert len(found) == notes
    right = Subject(tmp_path / "me.png", write(tmp_path / "right.txt", rows(P0)))
    assert read_photo_subject(right, NoFinder(), want_keypoints=True).remarks == ()


def test_swapped_coordinates_that_leave_the_photo_are_named_too(tmp_path):
    path = write(tmp_path / "a.txt", rows(P0[:, ::-1]))
    with pytest.raises(PhotoError, match=r"outside the 176x256 picture.*x and y swapped"):
        read_keypoints(path, PHOTO)


# Drawn skeletons


def wrists_missing():
    points = P0.copy()
    points[[4, 7]] = -1
    return points


@pytest.mark.parametrize("points", [P0, P0 * 3, P0 * 0.75, wrists_missing()])
@pytest.mark.parametrize("order", [1, -1], ids=["ours", "ControlNet's"])
def test_a_drawn_skeleton_is_read_back(points, order):
    width, height = (176 * 3, 256 * 3) if points.max() > 256 else (176, 256)
    drawn = draw_skeleton(points, (height, width))[..., ::order]
    read = read_skeleton(np.ascontiguousarray(drawn))
    assert np.array_equal(missing(read), missing(points))
    assert np.abs(read - points).max() <= 2


def test_a_skeleton_as_a_pose_is_said_to_be_one(tmp_path):
    photo_of_somebody(tmp_path / "me.png")
    Image.fromarray(draw_skeleton(P0, PHOTO)).save(tmp_path / "pose.png")
    said = []
    pose = Subject(tmp_path / "pose.png")
    prepared = prepare(Subject(tmp_path / "me.png"), pose, NoFinder(), say=said.append)
    assert any("is a drawn skeleton; 18 joints were read back" in line for line in said)
    points = prepared.keypoints * [176 / 750, 256 / 1101]
    assert np.abs(points - P0).max() <= 2
    found = find_pose(Image.open(tmp_path / "pose.png"), SIZE, NoFinder())
    np.testing.assert_allclose(found, prepared.keypoints_at(SIZE))


@pytest.mark.parametrize("picture", [
    np.zeros((64, 64, 3), np.uint8),
    np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
    np.random.default_rng(0).integers(0, 30, (64, 64, 3), np.uint8),
])  # fmt: skip
def test_other_pictures_are_no_skeletons(picture):
    assert read_skeleton(picture) is None


def test_joints_in_an_array_follow_the_rule_of_all_others(tmp_path):
    """Missing is a coordinate of -1, exactly 0 0, or a low score."""
    points = np.c_[P0, np.full(18, 0.9)]
    points[3, :2], points[4, :2], points[5, 2] = -1, 0, 0.05
    np.save(tmp_path / "pose.npy", points)
    np.savetxt(tmp_path / "pose.txt", points)
    read = read_keypoints(tmp_path / "pose.npy")
    assert np.flatnonzero(missing(read)).tolist() == [3, 4, 5]
    np.testing.assert_array_equal(read, read_keypoints(tmp_path / "pose.txt"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.array([{"a": 1}], dtype=object), "no .npy file of numbers"),
        (np.zeros(18), "holds float64 of shape .18,.; needs rows"),
        (np.array([["a", "b"]]), "holds <U1"),
    ],
)
def test_an_array_of_something_else_is_named(tmp_path, content, said):
    np.save(tmp_path / "pose.npy", content)
    with pytest.raises(PhotoError, match=f"^{tmp_path}/pose.npy: {said}"):
        read_keypoints(tmp_path / "pose.npy")


def archive(path):
    with open(path, "wb") as file:
        np.savez(file, points=P0)


def of_made_up_size(path):
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 2)}
        np.lib.format.write_array_header_1_0(file, header)


@pytest.mark.parametrize("write_file", [archive, of_made_up_size])
def test_an_array_that_would_fill_the_memory_is_none(tmp_path, write_file):
    write_file(tmp_path / "pose.npy")
    with pytest.raises(PhotoError, match=r"pose.npy: no .npy file of numbers"):
        read_keypoints(tmp_path / "pose.npy")


def test_a_file_of_another_tool_is_not_taken_for_a_broken_picture(tmp_path):
    table, photo = tmp_path / "a.xml", tmp_path / "a.png"
    for given in ({"path": table}, {"path": photo, "keypoints": table}):
        with pytest.raises(PhotoError, match=r"a\.xml: \.xml is not read; write the joints to a"):
            Subject(**given)


def test_a_photo_on_black_is_not_searched_for_joints(monkeypatch):
    """Which takes a minute for a large one."""
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[20:44, 24:40] = 180, 140, 120
    monkeypatch.setattr("xmdpt.data.skeletons._read_joints", None)
    assert read_skeleton(photo) is None


def test_numbers_too_large_for_a_float_are_no_pose():
    with pytest.raises(ValueError, match=r"^pose: "):
        draw_pose({"keypoints": [10**400] * 54}, 256)

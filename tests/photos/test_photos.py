"""Photos from anywhere: any file becomes a framed person with joints in step, or one line."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.people import body, points_out
from PIL import Image

from xmdpt.data.keypoints import JOINTS, annotation_to_pixels, missing
from xmdpt.photos.framing import (
    Frame,
    is_framed,
    keypoints_box,
    person_frame,
    unsquash,
    whole_frame,
)
from xmdpt.photos.joints import choose, from_rows, read_keypoints
from xmdpt.photos.loading import PhotoError, load_photo
from xmdpt.photos.marking import MARK, check_writable, save_picture
from xmdpt.photos.retarget import limb_lengths, rescale_pose

NECK = JOINTS.index("neck")


# Loading


def test_exif_rotation_is_carried_out(tmp_path):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = 255  # white upper left
    for orientation, turn in ((3, 2), (6, 1), (8, 3)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(np.rot90(upright, turn).copy())
        stored.save(tmp_path / "turned.png", exif=exif)
        assert np.array_equal(np.array(load_photo(tmp_path / "turned.png")), upright)


def test_sixteen_bits_become_eight(tmp_path):
    grey = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.int32)).save(tmp_path / "grey.tif")
    for name in ("grey.png", "grey.tif"):
        loaded = np.array(load_photo(tmp_path / name))
        assert loaded.shape == (64, 64, 3)
        assert np.abs(loaded[..., 0] - grey / 257).max() <= 0.5
    ends = np.full((32, 32), 65535, np.uint16)
    Image.fromarray(ends).save(tmp_path / "white.png")
    assert np.array(load_photo(tmp_path / "white.png")).min() == 255


def test_sixteen_bits_of_colour(tmp_path):
    """Pillow cannot write such PNG, so it is put together here."""
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 0, 257 * 100) * 40 for _ in range(40))

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    (tmp_path / "deep.png").write_bytes(png + chunk(b"IEND", b""))
    assert load_photo(tmp_path / "deep.png").getpixel((7, 7)) == (255, 0, 100)


def test_transparency_turns_white(tmp_path):
    picture = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    picture.paste((0, 0, 200, 255), (0, 0, 20, 40))
    picture.paste((0, 0, 0, 128), (20, 0, 30, 40))
    picture.save(tmp_path / "a.png")
    picture.convert("LA").save(tmp_path / "la.png")
    Image.new("L", (40, 40), 0).save(tmp_path / "key.png", transparency=0)
    loaded = load_photo(tmp_path / "a.png")
    assert [loaded.getpixel((x, 5)) for x in (5, 25, 35)] == [
        (0, 0, 200), (127, 127, 127), (255, 255, 255),
    ]  # fmt: skip
    assert load_photo(tmp_path / "la.png").getpixel((35, 5)) == (255, 255, 255)
    assert load_photo(tmp_path / "key.png").getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode, suffix", [("CMYK", "jpg"), ("P", "gif"), ("1", "png"),
                                          ("L", "jpg"), ("CMYK", "tif")])  # fmt: skip
def test_other_modes_become_rgb(tmp_path, mode, suffix):
    white = Image.new("RGB", (48, 32), "white").convert(mode)
    white.save(tmp_path / f"p.{suffix}")
    loaded = load_photo(tmp_path / f"p.{suffix}")
    assert loaded.mode == "RGB" and loaded.size == (48, 32)
    assert np.array(loaded).min() >= 254


def test_twenty_megapixels_are_read(tmp_path):
    Image.new("RGB", (5200, 3900), (9, 9, 9)).save(tmp_path / "big.jpg")
    assert load_photo(tmp_path / "big.jpg").size == (5200, 3900)


def broken_files(folder: Path) -> dict[str, str]:
    """Files that are no photo -> what to say."""
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    Image.fromarray(noise).save(folder / "whole.png")
    for kind in ("jpg", "png"):
        data = (folder / f"whole.{kind}").read_bytes()
        (folder / f"half.{kind}").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.jpg").mkdir()
    Image.fromarray(noise).save(folder / "whole.avif")
    data = bytearray((folder / "whole.avif").read_bytes())
    data[data.index(b"mdat") + 5] ^= 255
    (folder / "bad.avif").write_bytes(data)
    (folder / "post.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n")
    Image.fromarray(np.zeros((40, 40), np.float32)).save(folder / "float.tif")
    header = b"P6 90000 90000 255\n"
    (folder / "bomb.ppm").write_bytes(header)
    (folder / "large.ppm").write_bytes(b"P6 9000 9000 255\n")
    return {
        "dot.png": "1x1 pixels", "half.jpg": "not a readable picture",
        "bad.avif": "not a readable picture", "float.tif": "floating point",
        "half.png": "not a readable picture", "text.jpg": "not a readable picture",
        "empty.png": "not a readable picture", "folder.jpg": "folder",
        "post.eps": "not a readable picture", "bomb.ppm": "80 megapixels",
        "large.ppm": "80 megapixels", "none.jpg": "no such picture",
    }  # fmt: skip


def test_what_cannot_be_read_is_one_line(tmp_path):
    for name, text in broken_files(tmp_path).items():
        with pytest.raises(PhotoError, match=text) as error:
            load_photo(tmp_path / name)
        assert name in str(error.value) and len(str(error.value).splitlines()) == 1


# Framing


def test_points_go_in_and_out_of_a_frame():
    frame = Frame(left=-10, top=20, width=75, height=110)
    points = body()
    points[3] = -1
    inside = frame.points_in(points, (256, 256))
    seen = ~missing(points)
    expected = (points[seen] - [-10, 20]) * [256 / 75, 256 / 110]
    np.testing.assert_allclose(inside[seen], expected)
    assert (inside[3] == -1).all()
    np.testing.assert_allclose(points_out(frame, inside, (256, 256)), points)


def test_the_annotation_frame_is_a_frame():
    """Beside margins of 40, 176x256: the same as the rule of the data sets."""
    points = body(0.5, (60, 20))
    points[7] = -1
    np.testing.assert_allclose(
        Frame(40, 0, 176, 256).points_in(points, (128, 96)), annotation_to_pixels(points, (128, 96))
    )


def test_a_mark_in_the_photo_is_where_its_point_goes():
    """Cut, padded and squashed, a dot and its coordinates stay together."""
    photo = np.full((400, 300, 3), 90, np.uint8)
    photo[200:204, 250:254] = (255, 0, 0)
    for frame in (person_frame((200, 100, 290, 390)), whole_frame((300, 400))):
        points = np.full((18, 2), -1.0)
        points[0] = (252, 202)
        size = 256
        squared = frame.cut(Image.fromarray(photo)).resize((size, size), Image.Resampling.BICUBIC)
        red = np.array(squared).astype(int)
        red = np.clip(red[..., 0] - red[..., 1], 0, None).astype(float)
        rows, columns = np.mgrid[:size, :size] + 0.5
        centre = np.array([(red * columns).sum(), (red * rows).sum()]) / red.sum()
        np.testing.assert_allclose(frame.points_in(points, (size, size))[0], centre, atol=0.6)


@pytest.mark.parametrize("box", [(10, 10, 110, 310), (0, 0, 400, 100), (5, 5, 6, 6)])
def test_a_persons_frame_holds_the_box_at_the_aspect(box):
    frame = person_frame(box)
    margin = 0.05 * (box[3] - box[1])
    assert abs(frame.width - frame.height * 750 / 1101) <= 0.5
    assert frame.left <= box[0] - margin + 1 and frame.top <= box[1] - margin + 1
    assert frame.left + frame.width >= box[2] + margin - 1
    assert frame.top + frame.height >= box[3] + margin - 1


def test_what_lies_beyond_the_photo_is_white():
    frame = whole_frame((200, 100))
    assert (frame.width, frame.left) == (200, 0) and frame.height == round(200 * 1101 / 750)
    cut = np.array(frame.cut(Image.new("RGB", (200, 100), "black")))
    assert (cut[: -frame.top] == 255).all() and (cut[-frame.top : -frame.top + 100] == 0).all()
    assert (cut[-frame.top + 100 :] == 255).all()


def test_a_framed_picture_is_taken_whole():
    for size in ((750, 1101), (132, 192), (176, 256)):
        assert is_framed(size) and whole_frame(size) == Frame(0, 0, *size)
    assert not is_framed((256, 256)) and not is_framed((1101, 750))


def test_the_room_around_joints_stays_on_the_photo():
    left, top, right, bottom = keypoints_box(body(), (95, 305))
    assert (left, top) == (0, 0) and right == 95 and bottom == 305
    left, top, right, bottom = keypoints_box(body())
    assert top == pytest.approx(14 - 0.12 * 286) and bottom == pytest.approx(300 + 0.06 * 286)


def test_unsquash_gives_the_aspect_back():
    assert unsquash(Image.new("RGB", (256, 256))).size == (256, 376)


# Joints from files


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
        "deep.json": ("[" * 100_000, "deep.json"), "people.json": ({"people": 3}, "is a list of"),
        "person.json": ({"people": [3]}, "is a list of"), "same.txt": ("7 7\n" * 18, "one pixel"),
        "annotations.json": ({"annotations": None}, "is a list of"),
        "coco.json": ({"keypoints": [1] * 50}, "51 numbers"),
        "nobody.json": ({"people": []}, "no person"), "binary.txt": (None, "is not text"),
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


# Proportions


def test_rescaled_limbs_have_the_sources_lengths_and_the_poses_directions():
    rng = np.random.default_rng(0)
    pose, source = rng.uniform(0, 300, (18, 2)), rng.uniform(0, 300, (18, 2))
    scaled = rescale_pose(pose, source)
    own, theirs = limb_lengths(pose), limb_lengths(source)
    limbs = [0, 3, 4, *range(6, 14)]
    np.testing.assert_allclose(limb_lengths(scaled)[limbs], theirs[limbs])
    overall = np.median(theirs[limbs] / own[limbs])
    widths = [2, 5, *range(14, 18)]
    np.testing.assert_allclose(limb_lengths(scaled)[widths], overall * own[widths])
    np.testing.assert_allclose(scaled[NECK], pose[NECK])
    for parent, child in ((1, 0), (2, 3), (3, 4), (1, 11), (12, 13), (0, 15), (15, 17)):
        before, after = pose[child] - pose[parent], scaled[child] - scaled[parent]
        assert before @ after == pytest.approx(np.linalg.norm(before) * np.linalg.norm(after))


def test_rescaling_to_oneself_or_to_a_twin_of_another_size():
    np.testing.assert_allclose(rescale_pose(body(), body(1, (30, 7))), body())
    twice = rescale_pose(body(), body(2.0))
    np.testing.assert_allclose(twice, (body() - body()[NECK]) * 2 + body()[NECK])


def test_rescaling_where_joints_are_missing():
    pose, source = body(), body(2.0)
    source[4] = -1  # no right forearm: the left one's length
    pose[6] = -1  # no left elbow: the wrist hangs from the shoulder, by the median ratio
    scaled = rescale_pose(pose, source)
    assert (scaled[6] == -1).all() and missing(scaled).sum() == 1
    assert limb_lengths(scaled)[4] == pytest.approx(limb_lengths(source)[7])
    np.testing.assert_allclose(scaled[7] - scaled[5], 2 * (body()[7] - body()[5]))


def test_a_turned_pose_keeps_its_narrow_shoulders():
    turned = body()
    turned[[2, 5], 0] = 48, 52
    scaled = rescale_pose(turned, body(1.5))
    assert scaled[5, 0] - scaled[2, 0] == pytest.approx(1.5 * 4)


def test_no_limb_in_common():
    legs, head = np.full((18, 2), -1.0), np.full((18, 2), -1.0)
    legs[8:14], head[[0, 14, 15]] = body()[8:14], body()[[0, 14, 15]]
    with pytest.raises(ValueError, match="no limb in common"):
        rescale_pose(legs, head)


# The mark


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_mark_is_seen_and_read(tmp_path, suffix):
    picture = Image.new("RGB", (128, 188), (200, 120, 40))
    save_picture(picture, tmp_path / f"marked.{suffix}")
    with Image.open(tmp_path / f"marked.{suffix}") as marked:
        assert marked.getexif()[0x010E] == MARK == marked.getexif()[0x0131]
        xmp = marked.info.get("xmp") or marked.info["XML:com.adobe.xmp"]
        xmp = xmp if isinstance(xmp, str) else xmp.decode()
        assert MARK in xmp and "digitalsourcetype/trainedAlgorithmicMedia" in xmp
        changed = (
            np.abs(np.asarray(marked.convert("RGB")).astype(int) - [200, 120, 40]).max(-1) > 40
        )
    rows, columns = changed.nonzero()
    assert rows.min() > 160 and columns.max() - columns.min() > 60
    save_picture(picture, tmp_path / f"plain.{suffix}", mark=False)
    data = (tmp_path / f"plain.{suffix}").read_bytes()
    assert b"xmdpt" not in data and b"trainedAlgorithmic" not in data
    with Image.open(tmp_path / f"plain.{suffix}") as plain:
        assert np.abs(np.asarray(plain.convert("RGB")).astype(int) - [200, 120, 40]).max() <= 3


def test_where_no_picture_can_be_written(tmp_path):
    mine = tmp_path / "me.png"
    mine.write_bytes(b"x")
    for path, text in ((tmp_path / "a.bmp", "written as"), (tmp_path / "dir.png", "folder"),
                       (tmp_path / "." / "me.png", "what you gave")):  # fmt: skip
        (tmp_path / "dir.png").mkdir(exist_ok=True)
        with pytest.raises(PhotoError, match=text):
            check_writable(path, [mine])


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    rows = "\n".join(f"{x} {y}" for x, y in np.arange(36).reshape(18, 2))
    (tmp_path / "a.txt").write_text(rows, encoding="utf-8-sig")
    (tmp_path / "b.json").write_text(json.dumps(np.arange(36).reshape(18, 2).tolist()), "utf-8-sig")
    assert np.array_equal(read_keypoints(tmp_path / "a.txt"), read_keypoints(tmp_path / "b.json"))


def test_fractions_of_a_picture_are_no_pixels(tmp_path):
    np.savetxt(tmp_path / "pose.txt", np.random.default_rng(0).random((18, 2)))
    with pytest.raises(PhotoError, match="pixels, not fractions"):
        read_keypoints(tmp_path / "pose.txt")

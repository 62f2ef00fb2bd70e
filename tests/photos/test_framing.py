"""Frames: what they hold, their aspect, and points that move along."""

import numpy as np
import pytest
from helpers.people import body, points_out
from PIL import Image

from xmdpt.data.keypoints import annotation_to_pixels, missing
from xmdpt.photos.framing import (
    Frame,
    is_framed,
    keypoints_box,
    person_frame,
    unsquash,
    whole_frame,
)


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
    sides = np.array([box[2] - box[0], box[3] - box[1]]) + 2 * margin
    assert (np.array([frame.width, frame.height]) - sides).min() <= 1, "no larger than it must be"
    middle = [frame.left + frame.width / 2, frame.top + frame.height / 2]
    assert middle == pytest.approx([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], abs=1)


def test_what_lies_beyond_the_photo_is_white():
    frame = whole_frame((200, 100))
    assert (frame.width, frame.left) == (200, 0) and frame.height == round(200 * 1101 / 750)
    assert frame.top == -97
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

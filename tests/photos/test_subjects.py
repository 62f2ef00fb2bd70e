"""From a file to a framed person: crops, several people, backgrounds."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.people import SIZE, NoFinder, body, points_out
from PIL import Image

from xmdpt.photos.framing import CANVAS, whole_frame
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.subjects import (
    Subject,
    find_pose,
    in_one_frame,
    read_keypoints_subject,
    read_photo_subject,
    squash_points,
)


class TwoPeople(NoFinder):
    def boxes(self, photo):
        return [((50.0, 300.0, 250.0, 900.0), 0.9), ((450.0, 300.0, 650.0, 900.0), 0.8)]


class TwoPeopleWithJoints(TwoPeople):
    def keypoints(self, photo, box):
        return body(2.0, box[:2])


def test_a_large_photo_is_cut_to_the_person(tmp_path):
    photo = Image.new("RGB", (1000, 600), (0, 90, 0))
    photo.save(tmp_path / "field.png")
    points = body(1, (400, 200))
    np.savetxt(tmp_path / "field.txt", points)
    subject = Subject(tmp_path / "field.png", tmp_path / "field.txt")
    framed = read_photo_subject(subject, NoFinder(), want_keypoints=True)
    np.testing.assert_allclose(points_out(framed.frame, framed.keypoints, CANVAS), points)
    height = np.ptp(framed.keypoints[:, 1]) / CANVAS[0]
    assert 0.7 < height < 0.95
    assert framed.picture.size == (framed.frame.width, framed.frame.height)
    whole = Subject(tmp_path / "field.png", tmp_path / "field.txt", crop=False)
    framed = read_photo_subject(whole, NoFinder(), want_keypoints=True)
    assert framed.frame == whole_frame((1000, 600))
    np.testing.assert_allclose(points_out(framed.frame, framed.keypoints, CANVAS), points)


def test_poses_of_one_camera_keep_their_place_and_size_in_one_frame(tmp_path):
    standing, jumping = body(1, (400, 200)), body(1, (460, 120))
    jumping[[4, 7], 1] -= 200  # both hands go up
    jumping[10] = -1
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, points in zip(paths, (standing, jumping), strict=True):
        np.savetxt(path, points)
    own = {path: read_keypoints_subject(Subject(path)) for path in paths}
    assert len({np.ptp(one.keypoints[[0, 13]], axis=0)[1] for one in own.values()}) == 2
    first, second = in_one_frame(own).values()
    assert first.frame == second.frame
    for one, points in ((first, standing), (second, jumping)):
        np.testing.assert_allclose(points_out(one.frame, one.keypoints, CANVAS), points)
        seen = one.keypoints[one.keypoints[:, 0] >= 0]
        assert (seen >= 0).all() and (seen < CANVAS[::-1]).all()
    assert (second.keypoints[10] == -1).all()
    whole = {path: replace(one, frame=whole_frame((750, 1101))) for path, one in own.items()}
    assert in_one_frame(whole) == whole, "framed alike already"


def test_of_several_people_on_a_framed_photo_one_is_taken(tmp_path):
    Image.new("RGB", (750, 1101), "white").save(tmp_path / "two.png")
    for number, middle in ((1, 150), (2, 550)):
        subject = Subject(tmp_path / "two.png", person=number)
        frame = read_photo_subject(subject, TwoPeople(), want_keypoints=False).frame
        assert abs(frame.left + frame.width / 2 - middle) <= 1
        assert 600 < frame.height < 750
    whole = read_photo_subject(Subject(tmp_path / "two.png"), NoFinder(), want_keypoints=False)
    assert whole.frame == whole_frame((750, 1101))


def test_a_pose_photo_is_framed_alike_by_command_and_pipeline(tmp_path):
    photo = Image.new("RGB", (750, 1101), "white")
    photo.save(tmp_path / "two.png")
    subject = Subject(tmp_path / "two.png", person=2)
    ours = read_photo_subject(subject, TwoPeopleWithJoints(), want_keypoints=True).keypoints
    found = find_pose(photo, SIZE, TwoPeopleWithJoints(), person=2)
    np.testing.assert_allclose(found, squash_points(ours, SIZE))


@pytest.mark.parametrize("size", [(750, 1101), (900, 600)])
def test_the_background_goes_before_the_picture_is_cut(size, tmp_path):
    class OnePerson(NoFinder):
        def boxes(self, photo):
            return [((300.0, 100.0, 450.0, 550.0), 0.9)]

        def cut_out(self, photo, box, name):
            assert photo.size == size and box[0] == 300
            return Image.new("RGB", photo.size, (0, 0, 200))

    Image.new("RGB", size, (0, 90, 0)).save(tmp_path / "me.png")
    framed = read_photo_subject(
        Subject(tmp_path / "me.png"), OnePerson(), want_keypoints=False, remove_background=True
    )
    centre = (framed.frame.width // 2, framed.frame.height // 2)
    assert framed.picture.getpixel(centre) == (0, 0, 200)
    whole = framed.frame == whole_frame(size)
    assert whole == (size == (750, 1101)), "a framed photo stays whole"


def test_units_without_joints_are_refused(tmp_path):
    with pytest.raises(PhotoError, match="units apply to joints"):
        Subject(tmp_path / "me.png", units="annotation")

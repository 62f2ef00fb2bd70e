"""A pose with another body's proportions."""

from itertools import product

import numpy as np
import pytest
from helpers.people import body, long_legged

from xmdpt.data.keypoints import JOINTS, LIMBS, missing
from xmdpt.people import bodies
from xmdpt.people.cameras import Camera
from xmdpt.people.dataset import Photographer, identity
from xmdpt.people.views import view
from xmdpt.photos.framing import CANVAS, keypoints_box, person_frame
from xmdpt.photos.retarget import limb_lengths, rescale_pose

NECK = JOINTS.index("neck")
ELBOW, WRIST, KNEES, ANKLES = 6, 7, [9, 12], [10, 13]
OTHER_SIDE = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
TRUNK = [*range(8, 14)]
"""Torso and legs, by the joint at the end of each limb."""
SWINGING = [0, 3, 4, 6, 7]
WIDTHS = [2, 5, 14, 15, 16, 17]
SHRUNK = 286 / 356
"""`body` is 286 high; legs of 140 that become 210 make it 356, and all is shrunk to 286 again."""


def test_lengths_are_the_sources_up_to_one_factor_and_directions_are_the_poses():
    rng = np.random.default_rng(0)
    pose, source = rng.uniform(0, 300, (18, 2)), rng.uniform(0, 300, (18, 2))
    scaled = rescale_pose(pose, source)
    own, theirs, made = map(limb_lengths, (pose, source, scaled))
    longer = [np.maximum(lengths, lengths[OTHER_SIDE]) for lengths in (own, theirs, made)]
    ratios = longer[1] / longer[0]
    ratios /= np.median(ratios[SWINGING + TRUNK])
    factor = made[2] / own[2]
    np.testing.assert_allclose(made[WIDTHS], own[WIDTHS] * factor)
    np.testing.assert_allclose(made[TRUNK], own[TRUNK] * ratios[TRUNK] * factor)
    np.testing.assert_allclose(made[SWINGING], own[SWINGING] * ratios[SWINGING] ** 0.5 * factor)
    assert np.ptp((longer[2] / longer[1])[TRUNK]) == pytest.approx(0), "one factor"
    for parent, child in LIMBS:
        before, after = pose[child] - pose[parent], scaled[child] - scaled[parent]
        assert before @ after == pytest.approx(np.linalg.norm(before) * np.linalg.norm(after))
    assert np.ptp(scaled, axis=0).max() == pytest.approx(np.ptp(pose, axis=0).max())
    assert scaled[:, 1].max() == pytest.approx(pose[:, 1].max())
    assert scaled[NECK, 0] == pytest.approx(pose[NECK, 0])


def test_ones_own_proportions_of_any_size_and_place_change_nothing():
    lopsided = body()
    lopsided[WRIST] = lopsided[ELBOW] + [3, 4]  # towards the camera: it stays short
    for pose in (body(), lopsided):
        for source in (pose, 2.5 * pose + [30, 7]):
            np.testing.assert_allclose(rescale_pose(pose, source), pose)


def test_a_pose_of_another_size_and_place_comes_out_at_that_size_and_place():
    expected = rescale_pose(body(), long_legged())
    moved = rescale_pose(body(2.5, (30, 7)), long_legged(0.3))
    np.testing.assert_allclose(moved, 2.5 * expected + [30, 7])


def test_longer_legs_stand_on_the_same_ground_below_the_same_head():
    made, was = rescale_pose(body(), long_legged()), limb_lengths(body())
    wanted = was.copy()
    wanted[KNEES + ANKLES] *= 1.5  # seven of the eleven ratios are 1, and so is their median
    np.testing.assert_allclose(limb_lengths(made), SHRUNK * wanted)
    for end in (np.min, np.max):
        assert end(made[:, 1]) == pytest.approx(end(body()[:, 1]))
    assert made[NECK, 0] == pytest.approx(body()[NECK, 0])


def test_arms_go_half_of_the_way():
    source = body()
    for elbow in (3, 6):
        source[elbow + 1] = source[elbow] + 4 * (body()[elbow + 1] - body()[elbow])
    made, was = limb_lengths(rescale_pose(body(), source)), limb_lengths(body())
    was[[4, 7]] *= 2  # the square root of 4
    np.testing.assert_allclose(made, was)


def test_a_pose_without_feet_stands_on_its_lowest_joint():
    pose = body()
    pose[ANKLES] = -1
    made = rescale_pose(pose, long_legged())
    assert made[KNEES, 1].max() == pytest.approx(pose[KNEES, 1].max())


def test_a_limb_towards_the_camera_is_measured_on_the_other_side():
    """Of the source, and of the pose, whose own stays as short as it was beside the other."""
    source, pose = long_legged(), body()
    source[ANKLES[0]] = source[KNEES[0]] + [0, 5]
    np.testing.assert_allclose(rescale_pose(pose, source), rescale_pose(pose, long_legged()))
    pose[ANKLES[0]] = pose[KNEES[0]] + [0, 5]
    made, was = limb_lengths(rescale_pose(pose, source)), limb_lengths(pose)
    np.testing.assert_allclose(made[ANKLES], SHRUNK * 1.5 * was[ANKLES])


def test_missing_joints_stay_missing():
    pose, source = body(), long_legged()
    source[ANKLES[0]] = -1  # no right shin: the left one's length
    pose[ELBOW] = -1  # the wrist hangs from the shoulder, as far as it was
    made = rescale_pose(pose, source)
    assert (made[ELBOW] == -1).all() and missing(made).sum() == 1
    np.testing.assert_allclose(
        limb_lengths(made)[ANKLES], SHRUNK * 1.5 * limb_lengths(pose)[ANKLES]
    )
    np.testing.assert_allclose(made[WRIST] - made[5], SHRUNK * (pose[WRIST] - pose[5]))


def test_limbs_that_the_source_lacks_stay_as_they_are():
    source = long_legged()
    source[KNEES + ANKLES] = -1
    np.testing.assert_allclose(rescale_pose(body(), source), body())


def test_a_turned_pose_keeps_its_narrow_shoulders():
    turned = body()
    turned[[2, 5], 0] = 48, 52
    made = rescale_pose(turned, long_legged())
    assert made[5, 0] - made[2, 0] == pytest.approx(SHRUNK * 4)


def test_joints_that_lie_on_each_other_say_nothing_of_a_length():
    source = long_legged()
    source[0] = source[NECK]
    np.testing.assert_allclose(rescale_pose(body(), source), rescale_pose(body(), long_legged()))


def test_no_limb_in_common():
    legs, head = np.full((18, 2), -1.0), np.full((18, 2), -1.0)
    legs[8:14], head[[0, 14, 15]] = body()[8:14], body()[[0, 14, 15]]
    with pytest.raises(ValueError, match="no limb in common"):
        rescale_pose(legs, head)


@pytest.mark.slow
@pytest.mark.parametrize("age", [None, 0.4, 0.2], ids=["adults", "children", "infants"])
def test_rendered_bodies_come_nearer_to_their_true_joints(age):
    """Each of ten people in seven poses of another body, of which the renderer knows the truth."""
    sources, drivers = ([identity(0, first + n) for n in range(10)]
                        for first in (9_400_000, 9_500_000))  # fmt: skip
    build = {} if age is None else {"age": age}
    theirs = bodies.rest_shapes([person.shape for person in sources])
    others = bodies.rest_shapes([person.shape | build for person in drivers])
    photographer, camera = Photographer(bodies.load_template()), Camera((0.0, 0.0, 0.9), 2.4)

    def joints(shape, look):
        points = camera.project(photographer.pose(shape, look)[1]) * [1100, 1600]
        return person_frame(keypoints_box(points)).points_in(points, CANVAS)

    errors = []
    for person, number in product(range(10), range(1, 8)):
        look = view(drivers[person], number)
        truth, pose = joints(theirs[person], look), joints(others[person], look)
        made = rescale_pose(pose, joints(theirs[person], view(sources[person], 0)))
        errors.append([np.linalg.norm(one - truth, axis=1).mean() for one in (pose, made)])
    plain, fitted = np.mean(errors, axis=0) / CANVAS[0]
    print(f"{plain:.2%} of the picture's height, {fitted:.2%} in the source's proportions")
    assert fitted < plain

"""A pose with another body's proportions."""

import numpy as np
import pytest
from helpers.people import body, long_legged

from xmdpt.data.keypoints import JOINTS, LIMBS, missing
from xmdpt.photos.retarget import limb_lengths, rescale_pose

NECK = JOINTS.index("neck")
ELBOW, WRIST, KNEES, ANKLES = 6, 7, [9, 12], [10, 13]
PAIRS = ((3, 6), (4, 7), (8, 11), (9, 12), (10, 13))
"""Limbs, by the joint at their end, of the right and the left side."""
WIDTHS = (2, 5, 14, 15, 16, 17)


def test_lengths_are_the_sources_up_to_one_factor_and_directions_are_the_poses():
    rng = np.random.default_rng(0)
    pose, source = rng.uniform(0, 300, (18, 2)), rng.uniform(0, 300, (18, 2))
    own, theirs, made = map(limb_lengths, (pose, source, rescale_pose(pose, source)))
    longer = [(max(own[[*pair]]), max(theirs[[*pair]])) for pair in PAIRS]
    ratios = [theirs[0] / own[0], *(b / a for a, b in longer for _ in range(2))]
    size = np.median(ratios)
    np.testing.assert_allclose(made[0], theirs[0] / size)
    for pair, (_, wanted) in zip(PAIRS, longer, strict=True):
        assert max(made[[*pair]]) == pytest.approx(wanted / size)
        assert made[pair[0]] / made[pair[1]] == pytest.approx(own[pair[0]] / own[pair[1]])
    np.testing.assert_allclose(made[[*WIDTHS]], own[[*WIDTHS]])
    scaled = rescale_pose(pose, source)
    for parent, child in LIMBS:
        before, after = pose[child] - pose[parent], scaled[child] - scaled[parent]
        assert before @ after == pytest.approx(np.linalg.norm(before) * np.linalg.norm(after))


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


def test_longer_legs_stand_on_the_same_ground_below_the_same_neck():
    made, was = rescale_pose(body(), long_legged()), limb_lengths(body())
    wanted = was.copy()
    wanted[KNEES + ANKLES] *= 1.5  # seven of the eleven ratios are 1, and so is their median
    np.testing.assert_allclose(limb_lengths(made), wanted)
    assert made[ANKLES, 1].max() == pytest.approx(body()[ANKLES, 1].max())
    assert made[NECK, 0] == body()[NECK, 0] and made[NECK, 1] < body()[NECK, 1]


def test_a_pose_without_feet_keeps_its_neck():
    pose = body()
    pose[ANKLES] = -1
    np.testing.assert_allclose(rescale_pose(pose, long_legged())[NECK], pose[NECK])


def test_a_limb_towards_the_camera_is_measured_on_the_other_side():
    """Of the source, and of the pose, whose own stays as short as it was beside the other."""
    source, pose = long_legged(), body()
    source[ANKLES[0]] = source[KNEES[0]] + [0, 5]
    np.testing.assert_allclose(rescale_pose(pose, source), rescale_pose(pose, long_legged()))
    pose[ANKLES[0]] = pose[KNEES[0]] + [0, 5]
    made = limb_lengths(rescale_pose(pose, source))
    assert made[ANKLES[0]] == pytest.approx(1.5 * 5)
    assert made[ANKLES[1]] == pytest.approx(1.5 * limb_lengths(pose)[ANKLES[1]])


def test_missing_joints_stay_missing():
    pose, source = body(), long_legged()
    source[ANKLES[0]] = -1  # no right shin: the left one's length
    pose[ELBOW] = -1  # the wrist hangs from the shoulder, as far as it was
    made = rescale_pose(pose, source)
    assert (made[ELBOW] == -1).all() and missing(made).sum() == 1
    assert limb_lengths(made)[ANKLES[0]] == pytest.approx(1.5 * limb_lengths(pose)[ANKLES[0]])
    np.testing.assert_allclose(made[WRIST] - made[5], pose[WRIST] - pose[5])


def test_limbs_that_the_source_lacks_stay_as_they_are():
    source = long_legged()
    source[KNEES + ANKLES] = -1
    np.testing.assert_allclose(rescale_pose(body(), source), body())


def test_a_turned_pose_keeps_its_narrow_shoulders():
    turned = body()
    turned[[2, 5], 0] = 48, 52
    made = rescale_pose(turned, long_legged())
    assert made[5, 0] - made[2, 0] == pytest.approx(4)


def test_joints_that_lie_on_each_other_say_nothing_of_a_length():
    source = long_legged()
    source[0] = source[NECK]
    np.testing.assert_allclose(rescale_pose(body(), source), rescale_pose(body(), long_legged()))


def test_no_limb_in_common():
    legs, head = np.full((18, 2), -1.0), np.full((18, 2), -1.0)
    legs[8:14], head[[0, 14, 15]] = body()[8:14], body()[[0, 14, 15]]
    with pytest.raises(ValueError, match="no limb in common"):
        rescale_pose(legs, head)

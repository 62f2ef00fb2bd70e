"""A pose with another body's limb lengths."""

import numpy as np
import pytest
from helpers.people import body

from xmdpt.data.keypoints import JOINTS, missing
from xmdpt.photos.retarget import limb_lengths, rescale_pose

NECK = JOINTS.index("neck")


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

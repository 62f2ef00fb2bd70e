"""Cameras: where points are in a frame, with any height, distance and roll."""

from dataclasses import replace

import numpy as np
import pytest

from xmdpt.people.bodies import Pose
from xmdpt.people.cameras import ASPECT, Camera, frame
from xmdpt.people.views import Shot, View

TILTED = Camera((0.1, 0.0, 0.9), 2.0, 5.0, rise=14.0, roll=3.0)
POSE = Pose(((0, 0, -1),) * 4, ((0, 0, -1),) * 4, (0, 0, 0), (0, 0, 0), 0)
SHOTS = [Shot(), Shot(3.0, -6.0, 4.0, 1.0, 0.0), Shot(8.0, 16.0, -4.0, 1.3, 0.06)]


def person() -> np.ndarray:
    """Points in a tall box that is somewhere in the world."""
    low, high = (-0.1, -0.15, 0.2), (0.3, 0.2, 1.9)
    return np.random.default_rng(0).uniform(low, high, (4000, 3))


def test_a_level_camera_is_the_pinhole_of_the_books():
    points = np.array([[0.3, 2.0, 1.4], [-0.2, -1.0, 0.1]])
    camera = Camera((0.1, 0.0, 0.9), 2.0)
    near = 7.0 / (7.0 + points[:, 1])
    expected = np.stack(
        [0.5 + (points[:, 0] - 0.1) * near / (2 * ASPECT), 0.5 - (points[:, 2] - 0.9) * near / 2], 1
    )
    np.testing.assert_allclose(camera.project(points), expected, rtol=0, atol=1e-12)


def test_rays_go_through_the_pixels_that_points_on_them_are_in():
    size = (16, 11)
    on_rays = TILTED.eye + TILTED.rays(size).reshape(-1, 3) * 0.7
    rows, columns = np.indices(size).reshape(2, -1)
    middles = np.stack([(columns + 0.5) / 11, (rows + 0.5) / 16], axis=1)
    np.testing.assert_allclose(TILTED.project(on_rays), middles, atol=1e-12)


def test_a_rolled_camera_turns_the_picture_the_other_way():
    level, rolled = Camera((0, 0, 1.0), 2.0), Camera((0, 0, 1.0), 2.0, roll=30.0)
    metres = (2.0 * ASPECT, 2.0)
    before = (level.project(person()) - 0.5) * metres
    after = (rolled.project(person()) - 0.5) * metres
    angle = np.deg2rad(-30)  # a camera that is turned clockwise sees the world turned back
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(after, before @ turn.T, atol=1e-12)


def test_a_camera_that_rises_looks_down_on_the_floor():
    high = Camera((0, 0, 1.0), 2.0, rise=15.0)
    assert high.eye[2] > 2.0
    near, far = high.project(np.array([[0, -0.5, 0.0], [0, 0.5, 0.0]]))[:, 1]
    assert near > far, "what is near is lower in the picture"


@pytest.mark.parametrize("shot", SHOTS)
@pytest.mark.parametrize("framing", ["whole", "knees", "upper"])
def test_what_should_be_seen_is_in_the_frame_and_fills_it(framing, shot):
    cuts = {"knees": 0.7, "upper": 1.1}
    camera = frame(person(), View("x", 0, POSE, 0.05, 0.04, framing, shot), cuts)
    shown = person()[person()[:, 2] >= cuts.get(framing, 0)]
    seen = camera.project(shown)
    assert (seen > 0).all() and (seen < 1.02).all()
    assert np.ptp(seen, axis=0).max() > 0.85 / shot.zoom
    below = person()[person()[:, 2] < cuts.get(framing, 0) - 0.35]
    if framing != "whole" and shot.zoom == 1:
        assert (camera.project(below)[:, 1] > 1).all()


def test_a_part_loses_an_arm_before_it_shows_the_rest():
    arm = np.stack([np.linspace(0.3, 1.6, 200), np.zeros(200), np.full(200, 1.5)], axis=1)
    shot = Shot(4.0, 5.0, 1.0, 1.0, 0.0)
    look, cuts = View("x", 0, POSE, 0.05, 0.04, "upper", shot), {"upper": 1.1}
    camera = frame(np.concatenate([person(), arm]), look, cuts)
    assert camera.project(arm)[-1, 0] > 1, "the hand is outside"
    assert (camera.project(person()[person()[:, 2] < 0.7])[:, 1] > 1).all()
    whole = frame(np.concatenate([person(), arm]), replace(look, framing="whole"), cuts)
    assert 0 < whole.project(arm)[-1, 0] < 1

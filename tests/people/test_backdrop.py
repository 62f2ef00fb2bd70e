"""Walls, floors and shadows."""

from dataclasses import replace

import numpy as np
import pytest

from xmdpt.people.backdrop import CELL, FRONT, WIDTH, Backdrop
from xmdpt.people.cameras import Camera
from xmdpt.people.surfaces import RULES, paint
from xmdpt.people.worlds import SCENES, Light, Place, Surface

GREY = Surface("plain", ((0.6, 0.6, 0.6), (0.4, 0.4, 0.4)), 1.0, 1)
POLE = np.stack(np.meshgrid([-0.02, 0.0, 0.02], [-0.02, 0.0, 0.02], np.linspace(0, 1.7, 200)), -1)
POLE = POLE.reshape(-1, 3)
FAR = np.array([[9.0, 0.0, 0.0]])  # the shadow of this is nowhere in the picture
CAMERA = Camera((0, 0, 0.9), 2.2)


def lit_from(direction, spread=0.0, distance=1.0) -> Backdrop:
    light = Light(direction, (1.5, 1.5, 1.5), (0.4, 0.4, 0.4), spread)
    return Backdrop(Place(GREY, GREY, distance, light))


def middle(shadow: np.ndarray) -> tuple[float, float]:
    """Metres across and along the sheet of a shadow's middle."""
    rows, columns = np.indices(shadow.shape)
    total = shadow.sum()
    across = (columns * shadow).sum() / total * CELL - WIDTH / 2
    return across, (rows * shadow).sum() / total * CELL - FRONT


@pytest.mark.parametrize(
    ("direction", "across", "along"),
    [
        ((1, 0, -1), 0.85, 0.0),  # from the left: to the right on the floor
        ((-1, 0, -1), -0.85, 0.0),
        ((0, -1, -1), 0.0, -0.85),  # from behind: towards the camera
        ((0, 1, -2), 0.0, 0.425),
    ],
)
def test_a_shadow_falls_away_from_the_light(direction, across, along):
    shadow, _ = lit_from(direction).shadows(POLE, 0.0)
    assert middle(shadow) == pytest.approx((across, along), abs=0.05)


def test_a_shadow_goes_on_up_the_wall():
    shadow, _ = lit_from((0, 1, -0.5), distance=1.0).shadows(POLE, 0.0)
    fold = round((FRONT + 1.0) / CELL)
    assert shadow[: fold - 2].max() > 0.9 and shadow[fold + 2 :].max() > 0.9
    top = shadow.max(axis=1).nonzero()[0].max() * CELL - FRONT - 1.0
    assert top == pytest.approx(1.7 - 1.0 * 0.5, abs=0.06), (
        "the head's, half a metre below the head"
    )


def test_a_large_lamp_makes_a_shadow_soft_where_it_is_far():
    hard, soft = (lit_from((1, 0, -1), spread).shadows(POLE, 0.0)[0] for spread in (0.0, 15.0))
    assert soft.max(axis=0)[round((WIDTH / 2 + 1.5) / CELL)] < 0.5
    assert hard.max(axis=0)[round((WIDTH / 2 + 1.5) / CELL)] > 0.9
    assert soft.sum() == pytest.approx(hard.sum(), rel=0.1)


def test_the_shadow_is_darker_in_the_picture_and_nothing_else_is():
    backdrop = lit_from((1, 0.3, -1))
    with_pole = backdrop.behind(CAMERA, (64, 44), POLE)
    empty = backdrop.behind(CAMERA, (64, 44), POLE[POLE[:, 2] == 0])
    darker = (with_pole < empty - 0.02).all(axis=2)
    assert darker.any() and not darker[:, :20].any() and darker[:, 24:].any()
    np.testing.assert_allclose(with_pole[:20], empty[:20], atol=1e-6)


def test_wall_and_floor_meet_in_the_picture_where_the_camera_sees_the_corner():
    backdrop = lit_from((0, 1, -1))
    rays = CAMERA.rays((64, 44)).reshape(-1, 3)
    across, along = backdrop.seen(CAMERA.eye, rays, 0.0)
    on_floor = along < 1.0
    place = np.stack([across, np.where(on_floor, along, 1.0), np.where(on_floor, 0, along - 1)], 1)
    rows, columns = np.indices((64, 44)).reshape(2, -1)
    middles = np.stack([(columns + 0.5) / 44, (rows + 0.5) / 64], axis=1)
    np.testing.assert_allclose(CAMERA.project(place), middles, atol=1e-9)
    assert on_floor.any() and not on_floor.all()


def test_a_sheet_without_an_edge_has_none():
    place = replace(lit_from((0.3, 1, -1)).place, floor=None)
    picture = Backdrop(place).behind(CAMERA, (128, 88), FAR)
    edged = lit_from((0.3, 1, -1)).behind(CAMERA, (128, 88), FAR)
    steps = [np.abs(np.diff(one[:, 40, 0])).max() for one in (picture, edged)]
    assert steps[0] < 0.03 < steps[1]


@pytest.mark.parametrize("kind", [*RULES, *SCENES])
def test_surfaces_repeat_and_differ(kind):
    surface = replace(GREY, kind=kind)
    picture = paint(surface, 2.0, 1.5)
    assert picture.shape == (120, 160, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 0.95
    assert np.array_equal(picture, paint(surface, 2.0, 1.5))
    assert not np.array_equal(picture, paint(replace(surface, seed=2), 2.0, 1.5))
    assert kind == "plain" or picture.std() > 1.5 * paint(GREY, 2.0, 1.5).std()

"""The picture that is taken agrees with the camera, the light and the backdrop."""

import numpy as np
import pytest
from scipy import sparse

from xmdpt.people import solids, studio
from xmdpt.people.cameras import Camera
from xmdpt.people.dresser import Layer
from xmdpt.people.worlds import STUDIO, Light

SIZE = (64, 44)


def thing(middle: tuple[float, float, float], half: float = 0.12) -> tuple[Layer, np.ndarray]:
    """A grey cube."""
    points, faces = solids.box(np.array(middle) - half, np.array(middle) + half)
    weights = sparse.csr_matrix((len(points), 0))
    return Layer(points, weights, faces, np.full(points.shape, 0.5)), points


def photograph(cubes, camera, light=STUDIO, things=()):
    return studio.photograph(cubes, list(things), camera, light, None, SIZE, 16, 1)


@pytest.mark.parametrize("camera", [
    Camera((0, 0, 0.9), 2.2),
    Camera((0, 0, 0.9), 2.2, roll=20.0),
    Camera((0.1, 0, 0.9), 2.2, distance=3.0, rise=15.0, roll=-10.0),
])  # fmt: skip
def test_a_cube_is_in_the_picture_where_the_camera_says(camera):
    place = (0.3, 0.0, 1.4)
    _, outline = photograph([thing(place)], camera)
    rows, columns = (outline > 127).nonzero()
    seen = np.array([(columns.mean() + 0.5) / SIZE[1], (rows.mean() + 0.5) / SIZE[0]])
    np.testing.assert_allclose(seen, camera.project(np.array([place]))[0], atol=0.02)


@pytest.mark.parametrize("spread", [0.0, 10.0])
def test_the_side_towards_the_lamp_is_brighter(spread):
    means = []
    for side in (1.0, -1.0):
        light = Light((side, 0.3, -0.3), (2.0, 2.0, 2.0), (0.3, 0.3, 0.3), spread)
        ball, faces = solids.ball(0.5)
        ball[:, 2] += 0.9
        layer = Layer(ball, sparse.csr_matrix((len(ball), 0)), faces, np.full(ball.shape, 0.5))
        picture, outline = photograph([(layer, ball)], Camera((0, 0, 0.9), 2.2), light)
        inside = (outline > 200)[:, :, None]
        halves = [np.s_[:, :20], np.s_[:, 24:]]
        means.append([picture[half][np.repeat(inside, 3, 2)[half]].mean() for half in halves])
    (left, right), (mirrored_left, mirrored_right) = means
    assert left > right + 20 and mirrored_right > mirrored_left + 20


def test_the_silhouette_leaves_out_what_a_person_sits_on():
    camera = Camera((0, 0, 0.9), 2.2)
    person, box = thing((0, 0, 1.4)), thing((0, 0, 0.6))
    picture, outline = photograph([person], camera, things=[box])
    alone, same = photograph([person], camera)
    assert np.array_equal(outline, same)
    assert (picture != alone).any() and (outline[40:] == 0).all()

"""What is behind a person: a wall and a floor under the light, with the person's shadow.

Wall and floor are one sheet that is folded where they meet. A point of the sheet is metres across
and metres along: y on the floor, and from the fold on upwards. So one picture holds both, and a
shadow that falls on both is drawn once.
"""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from xmdpt.people.cameras import Camera
from xmdpt.people.surfaces import PIXEL, paint
from xmdpt.people.worlds import Place

WIDTH, FRONT, TOP = 6.0, 3.0, 4.0  # metres: across, before the person, above the floor
BEND = 0.6  # metres over which a sheet without an edge turns from floor to wall
CELL = 0.02  # metres of a cell of a shadow
BANDS = (0.25, 0.7, 1.3)  # metres from what casts a shadow; each further band is softer
DETAIL = 2  # rays in a row of a pixel

Array = np.ndarray


class Backdrop:
    """The wall and the floor of one place, painted once for all pictures that are taken there."""

    def __init__(self, place: Place) -> None:
        assert place.wall is not None, "white without an end has no sheet"
        self.place = place
        wall = paint(place.wall, WIDTH, TOP, place.floor is not None)
        length = FRONT + place.distance
        if place.floor is None:
            floor = np.repeat(wall[:1], round(length / PIXEL), axis=0)
        else:
            floor = paint(place.floor, WIDTH, length)
        self.sheet = np.concatenate([floor, wall])

    def behind(self, camera: Camera, size: tuple[int, int], points: Array) -> Array:
        """(H, W, 3) float32 linear colours that the camera sees; `size` is (H, W).

        points (N, 3) lie on whatever casts a shadow; the lowest stand on the floor.
        """
        height, width = size
        ground = float(points[:, 2].min())
        rays = camera.rays((height * DETAIL, width * DETAIL)).reshape(-1, 3)
        across, along = self.seen(camera.eye, rays, ground)
        colours = np.stack(
            [_sample(self.sheet[:, :, k], PIXEL, across, along) for k in range(3)], 1
        )
        shadow, contact = self.shadows(points, ground)
        lit = shade(self.place, along, _sample(shadow, CELL, across, along))
        near = self._open(along) * (1 - 0.65 * _sample(contact, CELL, across, along))
        light = lit + np.array(self.place.light.sky) * near[:, None]
        fine = (colours * light).reshape(height, DETAIL, width, DETAIL, 3)
        picture: Array = fine.mean(axis=(1, 3)).astype(np.float32)
        return picture

    def seen(self, eye: Array, rays: Array, ground: float) -> tuple[Array, Array]:
        """Where rays (N, 3) from `eye` (3,) meet the sheet: metres across and along, each (N,)."""
        return _meet(np.broadcast_to(eye, rays.shape), rays, ground, self.place.distance)[:2]

    def shadows(self, points: Array, ground: float) -> tuple[Array, Array]:
        """Two grids of cells of `CELL` metres: the lamp's shadow, and the feet's on the sky."""
        lamp = np.array(self.place.light.direction)
        lamp = lamp / np.linalg.norm(lamp)
        rays = np.broadcast_to(lamp, points.shape)
        across, along, far = _meet(points, rays, ground, self.place.distance)
        shape = tuple(np.array(self.sheet.shape[:2]) * PIXEL / CELL)
        rows, columns = round(shape[0]), round(shape[1])
        softness = np.tan(np.deg2rad(self.place.light.spread))
        shadow = np.zeros((rows, columns))
        edges = (0.0, *BANDS, np.inf)
        for low, high in pairwise(edges):
            chosen = (far >= low) & (far < high)
            if chosen.any():
                spots = _spots(across[chosen], along[chosen], (rows, columns))
                reach = (low + min(high, low + 1)) / 2 * softness / CELL
                shadow += ndimage.gaussian_filter(spots, reach) if reach > 0.3 else spots
        feet = points[points[:, 2] < ground + 0.2]
        contact = _spots(feet[:, 0], feet[:, 1], (rows, columns))
        return shadow.clip(0, 1), ndimage.gaussian_filter(contact, 0.05 / CELL)

    def _open(self, along: Array) -> Array:
        """(N,) how much of the sky is seen from places on the sheet: less in the corner."""
        if self.place.floor is None:
            return np.ones_like(along)
        corner: Array = 1 - 0.3 * np.exp(-np.abs(along - self.place.distance) / 0.25)
        return corner


def shade(place: Place, along: Array, shadow: Array) -> Array:
    """(N, 3) light of the lamp at metres along the sheet, (N,), under a shadow (N,) from 0 to 1."""
    bend = BEND if place.floor is None else 1e-6
    turn = np.clip((along - place.distance) / bend + 0.5, 0, 1) * np.pi / 2
    normal = np.stack([0 * turn, -np.sin(turn), np.cos(turn)], axis=1)
    lamp = np.array(place.light.direction)
    facing = np.clip(-normal @ (lamp / np.linalg.norm(lamp)), 0, 1) / np.pi
    lit: Array = (facing * (1 - shadow))[:, None] * place.light.key
    return lit


def _meet(start: Array, rays: Array, ground: float, wall: float) -> tuple[Array, Array, Array]:
    """Where rays (N, 3) from `start` (N, 3) meet the sheet: across, along, and how far that is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.where(rays[:, 2] < -1e-6, (ground - start[:, 2]) / rays[:, 2], np.inf)
        back = np.where(rays[:, 1] > 1e-6, (wall - start[:, 1]) / rays[:, 1], np.inf)
    far = np.maximum(np.minimum(np.minimum(down, back), 1e3), 0)
    hit = start + rays * far[:, None]
    along = np.where(down <= back, hit[:, 1], wall + hit[:, 2] - ground)
    return hit[:, 0], along, far


def _sample(picture: Array, cell: float, across: Array, along: Array) -> Array:
    """(N,) values of a picture (H, W) of the sheet, whose pixels are `cell` metres wide."""
    rows, columns = (along + FRONT) / cell - 0.5, (across + WIDTH / 2) / cell - 0.5
    values: Array = ndimage.map_coordinates(picture, [rows, columns], order=1, mode="mirror")
    return values


def _spots(across: Array, along: Array, shape: tuple[int, int]) -> Array:
    """(rows, columns) from 0 to 1: which cells are covered by points of a surface."""
    rows = np.floor((along + FRONT) / CELL).astype(int)
    columns = np.floor((across + WIDTH / 2) / CELL).astype(int)
    kept = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    places = rows[kept] * shape[1] + columns[kept]
    counts = np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)
    smooth: Array = ndimage.gaussian_filter(np.minimum(counts, 2.0), 0.7)  # closes gaps
    return (smooth * 1.6).clip(0, 1)

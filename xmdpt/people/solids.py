"""Simple solids: hair that is tied up, brims of hats, and the box that people sit on."""

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]
"""Points (N, 3) and triangles (F, 3)."""
AROUND = 20


def _grid(rows: int, columns: int, closed: bool) -> np.ndarray:
    """(F, 3) triangles between the points of a grid; closed: the last column meets the first."""
    index = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        index = np.concatenate([index, index[:, :1]], axis=1)
    a, b, c, d = (
        part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    )
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def turned(profile: np.ndarray) -> Mesh:
    """The solid of a profile (K, 2) of radius and height that is turned about the z axis."""
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    points = np.stack(
        [np.outer(profile[:, 0], np.cos(angle)), np.outer(profile[:, 0], np.sin(angle)),
         np.repeat(profile[:, 1:], AROUND, axis=1)], axis=2,
    )  # fmt: skip
    return points.reshape(-1, 3), _grid(len(profile), AROUND, closed=True)


def ball(radius: float) -> Mesh:
    """A ball around the origin."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 10)
    return turned(np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1))


def tail(length: float, radius: float) -> Mesh:
    """A tied tail of hair that hangs down from the origin and ends in a point."""
    t = np.linspace(0, 1, 12)
    thick = radius * (0.35 + 1.1 * np.sin(np.pi * np.sqrt(t)) ** 0.8) * np.sqrt(1 - t + 0.02)
    points, faces = turned(np.stack([thick, -t * length], axis=1))
    points[:, 1] += 0.25 * length * np.sin(np.pi * -points[:, 2] / length) ** 2 * 0.5
    return points, faces


def brim(inner: tuple[float, float], wide: float, front_only: bool) -> Mesh:
    """A flat ring around an ellipse with the two radii `inner`, or only its front, towards -y."""
    angle = np.linspace(-np.pi, np.pi, 2 * AROUND + 1)
    grow = np.full(angle.shape, wide)
    if front_only:
        grow = wide * np.clip(np.cos(angle) * 1.6 - 0.2, 0, 1)
    share = np.linspace(0, 1, 4)[:, None]
    across = np.sin(angle) * (inner[0] + share * grow)
    along = -np.cos(angle) * (inner[1] + share * grow)
    droop = -0.12 * share**2 * grow * np.ones_like(across)
    points = np.stack([across, along, droop], axis=2).reshape(-1, 3)
    return points, _grid(4, len(angle), closed=False)


def box(low: np.ndarray, high: np.ndarray) -> Mesh:
    """An upright box between two corners (3,), with points on its sides, as shadows need them."""
    steps = np.linspace(0, 1, 12)
    u, v = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
    sides: list[np.ndarray] = []
    faces = []
    for axis in range(3):
        for end in (0.0, 1.0):
            side = np.insert(np.stack([u, v], axis=1), axis, end, axis=1)
            faces.append(_grid(12, 12, closed=False) + 144 * len(sides))
            sides.append(low + side * (high - low))
    return np.concatenate(sides), np.concatenate(faces)

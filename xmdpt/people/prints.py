"""Prints of cloth: tiles that repeat, parts in two colours, and figures on the chest."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from xmdpt.people.looks import PALETTE, Garment

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""How much of the second colour is at (u, v), from 0 to 1; v runs downwards."""
TILE, CHEST = 64, 128  # pixels of a side
CHEST_SIZE, CHEST_MIDDLE = 0.36, 0.35  # metres of the template that a figure's picture covers


def linear(colour: ArrayLike) -> np.ndarray:
    """sRGB values in [0, 1] as linear light."""
    c = np.asarray(colour, float)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _plaid(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    broad = 0.35 * (np.abs(u - 0.5) < 0.22) + 0.35 * (np.abs(v - 0.5) < 0.22)
    thin = (np.abs(u - 0.06) < 0.03) | (np.abs(v - 0.06) < 0.03)
    return np.where(thin, 0.9, broad)


def _flowers(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    flowers = np.zeros_like(u)
    for x, y in ((0.27, 0.27), (0.77, 0.77)):
        radius, angle = np.hypot(u - x, v - y), np.arctan2(v - y, u - x)
        flowers += (radius < 0.15 + 0.07 * np.cos(5 * angle)) & (radius > 0.045)
    return flowers


TILES: dict[str, Mask] = {
    "horizontal stripes": lambda u, v: v < 0.42,
    "vertical stripes": lambda u, v: np.abs(u - 0.5) < 0.17,
    "checks": lambda u, v: ((u < 0.45).astype(float) + (v < 0.45)) / 2,
    "dots": lambda u, v: (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.065,
    "plaid": _plaid,
    "zigzag": lambda u, v: np.abs(v - 0.5 - 0.5 * (np.abs(2 * u - 1) - 0.5)) < 0.15,
    "diamonds": lambda u, v: np.abs(u - 0.5) + np.abs(v - 0.5) < 0.34,
    "flowers": _flowers,
    "pinstripes": lambda u, v: np.abs(u - 0.5) < 0.06,
}


def pattern_tile(garment: Garment) -> np.ndarray:
    """(64, 64, 3) linear colours of the garment's cloth, one period in each direction."""
    first, second = (linear(PALETTE[name]) for name in garment.colours)
    v, u = (np.indices((TILE, TILE)) + 0.5) / TILE
    mask = TILES[garment.pattern](u, v).astype(float) if garment.pattern in TILES else 0 * u
    tile: np.ndarray = first + (second - first) * mask[:, :, None]
    return tile


def _blocks(garment: Garment, place: np.ndarray, arm: np.ndarray) -> np.ndarray:
    return (place[:, 2] > (-0.3 if garment.kind == "trousers" else 0.28)).astype(float)


PARTS: dict[str, Callable[[Garment, np.ndarray, np.ndarray], np.ndarray]] = {
    "blocks": _blocks,
    "halves": lambda garment, place, arm: (place[:, 0] > 0).astype(float),
    "raglan": lambda garment, place, arm: (arm > 0.4).astype(float),
    "fade": lambda garment, place, arm: np.clip((place[:, 2] - garment.hem) / 0.6, 0, 1),
}
"""Name -> how much of the second colour each point has, from its place and its share of arm."""


def part_colours(garment: Garment, place: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of a garment in two; `place` (N, 3) is on the template, arm is (N,)."""
    first, second = (linear(PALETTE[name]) for name in garment.colours)
    share = PARTS[garment.pattern](garment, place, arm)[:, None]
    colours: np.ndarray = first * (1 - share) + second * share
    return colours


STROKES = {  # letters as lines between points (across, down) of a grid of 2 by 4
    "A": ((0, 4, 0, 1, 1, 0, 2, 1, 2, 4), (0, 2.5, 2, 2.5)),
    "C": ((2, 0.5, 1, 0, 0, 1, 0, 3, 1, 4, 2, 3.5),),
    "E": ((2, 0, 0, 0, 0, 4, 2, 4), (0, 2, 1.5, 2)),
    "H": ((0, 0, 0, 4), (2, 0, 2, 4), (0, 2, 2, 2)),
    "K": ((0, 0, 0, 4), (2, 0, 0, 2, 2, 4)),
    "L": ((0, 0, 0, 4, 2, 4),),
    "M": ((0, 4, 0, 0, 1, 2, 2, 0, 2, 4),),
    "N": ((0, 4, 0, 0, 2, 4, 2, 0),),
    "O": ((0, 1, 1, 0, 2, 1, 2, 3, 1, 4, 0, 3, 0, 1),),
    "P": ((0, 4, 0, 0, 1.5, 0, 2, 1, 1.5, 2, 0, 2),),
    "R": ((0, 4, 0, 0, 1.5, 0, 2, 1, 1.5, 2, 0, 2), (1, 2, 2, 4)),
    "S": ((2, 0, 0.5, 0, 0, 1, 2, 3, 1.5, 4, 0, 4),),
    "T": ((0, 0, 2, 0), (1, 0, 1, 4)),
    "U": ((0, 0, 0, 3, 1, 4, 2, 3, 2, 0),),
    "X": ((0, 0, 2, 4), (2, 0, 0, 4)),
    "Y": ((0, 0, 1, 2, 2, 0), (1, 2, 1, 4)),
    "Z": ((0, 0, 2, 0, 0, 4, 2, 4),),
}


def _stroke(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances of the points (x, y) from the line between the points a and b."""
    along = ((x - a[0]) * (b - a)[0] + (y - a[1]) * (b - a)[1]) / max((b - a) @ (b - a), 1e-9)
    along = np.clip(along, 0, 1)
    far: np.ndarray = np.hypot(x - a[0] - along * (b - a)[0], y - a[1] - along * (b - a)[1])
    return far


def letters(word: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether (u, v), in [0, 1], lies on a letter of `word`, written across the middle."""
    size = min(0.09, 0.55 / (3 * len(word) - 1))  # of the grid's cells
    nearest = np.full(u.shape, np.inf)
    for index, letter in enumerate(word):
        left = 0.5 + (3 * index - (3 * len(word) - 1) / 2) * size
        for line in STROKES[letter]:
            points = np.reshape(line, (-1, 2)) * size + (left, 0.5 - 2 * size)
            for a, b in pairwise(points):
                nearest = np.minimum(nearest, _stroke(u, v, a, b))
    drawn: np.ndarray = nearest < 0.42 * size
    return drawn


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    turn = (np.arctan2(x, -y) / (2 * np.pi) * 5 + 0.5) % 1 - 0.5  # 0 at each of the five points
    inside: np.ndarray = np.hypot(x, y) * (1 + 2.6 * np.abs(turn)) < 0.36
    return inside


MOTIFS: dict[str, Mask] = {
    "star": _star,
    "heart": lambda x, y: (4 * x) ** 2 + (0.5 - 4 * y - np.sqrt(np.abs(4 * x)) * 0.8) ** 2 < 1.1,
    "disc": lambda x, y: np.hypot(x, y) < 0.28,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.24) < 0.06,
    "moon": lambda x, y: (np.hypot(x - 0.1, y) < 0.29) & (np.hypot(x - 0.23, y + 0.05) > 0.25),
    "mountain": lambda x, y: (np.abs(x) < 0.36) & (y < 0.2) & (y > 1.1 * np.abs(x) - 0.25),
    "sun": lambda x, y: np.hypot(x, y) < 0.2 + 0.09 * (np.cos(12 * np.arctan2(y, x)) > 0.2),
}
FIGURES = ("letters", "motif")
"""Patterns of which the garment's `figure` says more: a word, or one of `MOTIFS`."""


def figure_tile(garment: Garment) -> np.ndarray:
    """(128, 128, 3) linear colours of a chest with the garment's figure, a motif or a word."""
    first, second = (linear(PALETTE[name]) for name in garment.colours)
    v, u = (np.indices((CHEST, CHEST)) + 0.5) / CHEST
    if garment.pattern == "letters":
        mask = letters(garment.figure, u, v)
    else:
        mask = MOTIFS[garment.figure](u - 0.5, v - 0.5)
    tile: np.ndarray = np.where(mask[:, :, None], second, first)
    return tile


def chest_coordinates(place: np.ndarray) -> np.ndarray:
    """(N, 2) where points at `place` (N, 3) of the template lie in the figure's picture.

    What is not on the chest lies on its upper edge, which has the first colour alone.
    """
    u = place[:, 0] / CHEST_SIZE + 0.5
    v = np.where(place[:, 1] < -0.04, (CHEST_MIDDLE - place[:, 2]) / CHEST_SIZE + 0.5, 0.0)
    coordinates: np.ndarray = np.stack([u, v], axis=1).clip(0.01, 0.99)
    return coordinates

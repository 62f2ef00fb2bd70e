"""Walls and floors, painted by rules: plain, graded, textured, and soft pictures of places."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from xmdpt.people.prints import TILES, linear
from xmdpt.people.worlds import Surface

PIXEL = 0.0125  # metres
SKIRTING = 0.09  # metres, the height of the board where a wall meets the floor
Random = np.random.Generator
Grid = np.ndarray
Rule = Callable[[Grid, Grid, Random], tuple[Grid, Grid]]
"""From metres across and along (H, W): the share of the second colour, and a factor of shade."""


def noise(rng: Random, shape: tuple[int, int], cells: tuple[float, float]) -> Grid:
    """(H, W) smooth noise in about [-1, 1], with bumps of `cells` pixels (down, across)."""
    count = [int(side / cell) + 2 for side, cell in zip(shape, cells, strict=True)]
    down, across = (np.arange(side) / cell for side, cell in zip(shape, cells, strict=True))
    places = np.meshgrid(down, across, indexing="ij")
    smooth: Grid = ndimage.map_coordinates(rng.uniform(-1, 1, count), places, order=1)
    return smooth


def _clouds(rng: Random, shape: tuple[int, int]) -> Grid:
    return sum(
        (noise(rng, shape, (48 / 2**k, 48 / 2**k)) / 2**k for k in range(4)), np.zeros(shape)
    )


def _plain(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    return 0 * x, 1 + 0.03 * noise(rng, x.shape, (90, 90))


def _gradient(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    if rng.random() < 0.5:  # a glow behind the person
        share = np.hypot(x - rng.uniform(-0.4, 0.4), z - rng.uniform(0.8, 1.6)) / 1.6
    else:
        share = z / 2.4 if rng.random() < 0.7 else (x + 1.5) / 3
    return np.clip(share, 0, 1), np.ones_like(x)


def _laid(
    x: Grid, z: Grid, rng: Random, size: tuple[float, float, float, float]
) -> tuple[Grid, Grid]:
    """Rows of bricks, boards or tiles: width, height, gap (metres), and each row's offset."""
    width, height, gap, offset = size
    row = np.floor(z / height).astype(int)
    x = x + row * offset * width + 100 * width
    column = np.floor(x / width).astype(int)
    joint = (z % height < gap) | (x % width < gap)
    shades = rng.uniform(0.82, 1.12, (61, 67))
    return joint.astype(float), shades[row % 61, column % 67]


def _bricks(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    joint, shade = _laid(x, z, rng, (0.24, 0.08, 0.014, 0.5))
    return joint, shade * (1 + 0.10 * noise(rng, x.shape, (3, 3)))


def _planks(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    upright = rng.random() < 0.5
    if upright:
        x, z = z, x
    joint, shade = _laid(x, z, rng, (1.7, 0.14, 0.009, 0.37))
    grain = noise(rng, x.shape, (60, 1.5) if upright else (1.5, 60))
    return 0.8 * joint, shade * (1 + 0.10 * grain)


def _tiles(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    side = rng.choice([0.16, 0.30])
    joint, shade = _laid(x, z, rng, (side, side, 0.012, 0.0))
    return joint, 1 + (shade - 1) * 0.4


def _plaster(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    return np.clip(0.35 + 0.45 * _clouds(rng, x.shape), 0, 1), 1 + 0.05 * noise(
        rng, x.shape, (2, 2)
    )


def _wallpaper(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    names = ("vertical stripes", "dots", "diamonds", "flowers", "zigzag", "plaid")
    mask = TILES[names[int(rng.integers(len(names)))]]
    period = rng.uniform(0.14, 0.32)
    return 0.6 * mask(x / period % 1, -z / period % 1).astype(float), np.ones_like(x)


def _panels(x: Grid, z: Grid, rng: Random) -> tuple[Grid, Grid]:
    rail, width = rng.uniform(0.8, 1.1), rng.choice([0.12, 0.5])
    groove = (x % width < 0.012) & (z < rail)
    edge = np.abs(z - rail) < 0.025
    return (z < rail).astype(float), 1 - 0.2 * groove + 0.15 * edge


RULES: dict[str, Rule] = {
    "plain": _plain,
    "gradient": _gradient,
    "bricks": _bricks,
    "planks": _planks,
    "tiles": _tiles,
    "plaster": _plaster,
    "wallpaper": _wallpaper,
    "panels": _panels,
}


class Canvas:
    """A picture (H, W, 3) of a wall in sRGB, to which rectangles and round shapes are added."""

    def __init__(self, x: Grid, z: Grid, colour: np.ndarray, rng: Random) -> None:
        self.x, self.z, self.rng = x, z, rng
        self.colours = np.broadcast_to(colour, (*x.shape, 3)).copy()

    def box(self, left: float, bottom: float, width: float, height: float, colour: object) -> None:
        """Fill a rectangle, in metres."""
        inside = (self.x >= left) & (self.x < left + width)
        inside &= (self.z >= bottom) & (self.z < bottom + height)
        self.colours[inside] = np.asarray(colour)

    def blob(self, x: float, z: float, radius: float, colour: np.ndarray) -> None:
        """Fill a round shape with an uneven edge."""
        edge = radius * (1 + 0.3 * noise(self.rng, self.x.shape, (9, 9)))
        self.colours[np.hypot(self.x - x, self.z - z) < edge] = colour

    def colour(self, low: float = 0.1, high: float = 0.8) -> np.ndarray:
        """A random colour, rather grey."""
        warm, green = self.rng.normal(0, 0.06), self.rng.normal(0, 0.02)
        tint = np.array([warm, green, -warm])
        return np.clip(self.rng.uniform(low, high) + tint, 0.02, 0.95)


def _window(canvas: Canvas, left: float) -> None:
    rng = canvas.rng
    width, height, bottom = rng.uniform(0.7, 1.2), rng.uniform(1.0, 1.5), rng.uniform(0.7, 1.0)
    canvas.box(left - 0.06, bottom - 0.06, width + 0.12, height + 0.12, (0.92, 0.91, 0.89))
    canvas.box(left, bottom, width, height, (0.86, 0.92, 0.98))
    canvas.box(left, bottom, width, height * 0.35, canvas.colour(0.5, 0.8))
    canvas.box(left + width / 2 - 0.025, bottom, 0.05, height, (0.92, 0.91, 0.89))
    if rng.random() < 0.6:
        curtain = canvas.colour(0.3, 0.9)
        for side in (left - 0.25, left + width - 0.05):
            canvas.box(side, bottom - 0.5, 0.3, height + 0.7, curtain)


def _shelf(canvas: Canvas, left: float) -> None:
    rng, width, rows = canvas.rng, canvas.rng.uniform(0.6, 1.0), int(canvas.rng.integers(3, 6))
    canvas.box(left, 0, width, 0.36 * rows + 0.05, canvas.colour(0.2, 0.6))
    for row in range(rows):
        canvas.box(left + 0.04, 0.36 * row + 0.05, width - 0.08, 0.31, canvas.colour(0.1, 0.3))
        place = left + 0.05
        while place < left + width - 0.12:
            thick = rng.uniform(0.03, 0.08)
            canvas.box(
                place, 0.36 * row + 0.05, thick, rng.uniform(0.16, 0.28), rng.uniform(0, 1, 3)
            )
            place += thick + (0.01 if rng.random() < 0.8 else 0.15)


def _sofa(canvas: Canvas, left: float) -> None:
    width, colour = canvas.rng.uniform(1.1, 1.9), canvas.colour(0.15, 0.75)
    canvas.box(left, 0.10, width, 0.75, colour * 0.9)
    canvas.box(left + 0.15, 0.12, width - 0.3, 0.35, colour)
    for side in (left, left + width - 0.18):
        canvas.box(side, 0.06, 0.18, 0.55, colour * 0.8)
    canvas.box(left + 0.25, 0.45, 0.32, 0.30, canvas.rng.uniform(0.2, 0.9, 3))


def _plant(canvas: Canvas, left: float) -> None:
    height = canvas.rng.uniform(0.5, 1.2)
    canvas.box(left - 0.12, 0, 0.24, 0.3, canvas.colour(0.3, 0.7))
    for _ in range(5):
        x, z = canvas.rng.normal((left, height), (0.14, 0.18))
        green = np.array((0.16, 0.36, 0.14)) * canvas.rng.uniform(0.7, 1.4)
        canvas.blob(x, max(z, 0.35), canvas.rng.uniform(0.10, 0.2), green)


def _hung(canvas: Canvas, left: float) -> None:
    width, height = canvas.rng.uniform(0.25, 0.7, 2)
    bottom = canvas.rng.uniform(1.2, 1.6)
    canvas.box(left, bottom, width, height, canvas.colour(0.05, 0.9))
    canvas.box(
        left + 0.04, bottom + 0.04, width - 0.08, height - 0.08, canvas.rng.uniform(0.2, 0.9, 3)
    )


def _room(x: Grid, z: Grid, wall: np.ndarray, rng: Random) -> np.ndarray:
    canvas = Canvas(x, z, wall, rng)
    things = (_window, _window, _shelf, _sofa, _plant, _plant, _hung, _hung)
    for left in np.arange(-2.6, 2.4, 0.85) + rng.uniform(-0.3, 0.3, 6):
        things[int(rng.integers(len(things)))](canvas, float(left))
    return canvas.colours


def _street(x: Grid, z: Grid, wall: np.ndarray, rng: Random) -> np.ndarray:
    sky = np.array((0.62, 0.76, 0.92)) * rng.uniform(0.8, 1.05)
    canvas = Canvas(x, z, sky, rng)
    canvas.colours += np.clip(0.25 - z / 12, 0, 1)[:, :, None] * (1 - canvas.colours)
    left = -3.2
    while left < 3.0:
        width, height, colour = (
            rng.uniform(0.6, 1.6),
            rng.uniform(1.0, 3.2),
            canvas.colour(0.3, 0.85),
        )
        canvas.box(left, 0, width, height, colour)
        pane = colour * rng.uniform(0.35, 0.6)
        for a in np.arange(left + 0.12, left + width - 0.2, 0.34):
            for b in np.arange(0.35, height - 0.3, 0.5):
                canvas.box(float(a), float(b), 0.18, 0.28, pane)
        left += width + (0 if rng.random() < 0.6 else rng.uniform(0.2, 0.8))
    if rng.random() < 0.5:  # a hedge
        canvas.box(
            -3.0,
            0.0,
            6.0,
            rng.uniform(0.3, 0.8),
            np.array((0.17, 0.32, 0.13)) * rng.uniform(0.8, 1.4),
        )
    for tree in rng.uniform(-2.8, 2.8, int(rng.integers(0, 5))):
        _plant(canvas, float(tree))
    return canvas.colours


def paint(surface: Surface, width: float, height: float, skirting: bool = False) -> np.ndarray:
    """(H, W, 3) float32 linear reflectance of a surface of `width` by `height` metres.

    Its first row is the lowest of a wall, or the nearest of a floor; its middle column is at 0
    metres. `skirting` adds the board between a wall and the floor.
    """
    rng = np.random.default_rng(surface.seed)
    shape = (round(height / PIXEL), round(width / PIXEL))
    z, x = (np.indices(shape) + 0.5) * PIXEL
    x = x - width / 2
    first, second = (np.array(colour) for colour in surface.colours)
    if surface.kind in ("room", "street"):
        scene = _room if surface.kind == "room" else _street
        blur = rng.uniform(1.5, 4)
        colours = ndimage.gaussian_filter(scene(x, z, first, rng), (blur, blur, 0))
    else:
        share, shade = RULES[surface.kind](x / surface.scale, z / surface.scale, rng)
        colours = first * shade[:, :, None] + (second - first) * share[:, :, None]
    if skirting and surface.kind != "street":
        colours[z < SKIRTING] = 0.5 * first + 0.45
    painted: np.ndarray = linear(colours.clip(0, 0.95)).astype(np.float32)
    return painted

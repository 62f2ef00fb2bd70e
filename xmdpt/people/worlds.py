"""Worlds that people are photographed in: the wall, the floor and the light of each person.

A person has one wall, one floor and one light in all pictures, so a picture of the person shows
what is behind the others. Pose, camera and framing are the picture's, see `views`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmdpt.people.bodies import Direction
from xmdpt.people.looks import PALETTE, Colour, Identity, pick

PLAIN = ("plain", "gradient")
TEXTURED = ("bricks", "planks", "tiles", "plaster", "wallpaper", "panels")
SCENES = ("room", "street")
WALL_COLOURS = {  # by kind; of other kinds, all
    "room": ("white", "white", "beige", "beige", "light blue", "mint", "grey", "lavender", "tan"),
}
FLOORS = ("plain", "planks", "planks", "tiles", "plaster")
FLOOR_COLOURS = ("tan", "brown", "beige", "beige", "grey", "grey", "charcoal", "white", "olive")
PAVING = ("plain", "plaster", "tiles")
PAVING_COLOURS = ("grey", "grey", "charcoal", "beige", "olive")


@dataclass(frozen=True)
class World:
    """What varies: kinds of walls and light, all equally likely, cameras, poses and clothes."""

    walls: tuple[str, ...] = ("white",)
    lights: tuple[str, ...] = ("studio",)
    camera: bool = False
    poses: bool = False
    clothes: bool = False


WORLDS = {
    "white": World(),
    "plain_walls": World(walls=PLAIN),
    "textures": World(walls=TEXTURED + SCENES),
    "hard_light": World(walls=PLAIN, lights=("hard",)),
    "poses": World(poses=True),
    "wide": World(
        walls=("white", "white", *PLAIN, *PLAIN, *TEXTURED, *SCENES, *SCENES, "room"),
        lights=("studio", "soft", "soft", "hard"),
        camera=True,
        poses=True,
        clothes=True,
    ),
}


@dataclass(frozen=True)
class Light:
    """A lamp far away and an even sky, in linear light.

    direction: in which the lamp shines, a unit vector; key: its irradiance; sky: radiance from
    everywhere; spread: the lamp's radius in degrees, which makes shadows soft.
    """

    direction: Direction
    key: Colour
    sky: Colour
    spread: float


@dataclass(frozen=True)
class Surface:
    """A wall or a floor: kind (see `surfaces`), two sRGB colours, metres of a period, and seed."""

    kind: str
    colours: tuple[Colour, Colour]
    scale: float
    seed: int


@dataclass(frozen=True)
class Place:
    """Where a person is photographed.

    wall: None is white without an end; floor: None goes over into the wall without an edge;
    distance: metres from the person back to the wall.
    """

    wall: Surface | None
    floor: Surface | None
    distance: float
    light: Light


STUDIO = Light((0.5, 1.0, -0.8), (1.25, 1.25, 1.25), (0.62, 0.62, 0.62), 0.0)


def place(person: Identity) -> Place:
    """The wall, the floor and the light of `person`; equal people have equal ones."""
    world = WORLDS[person.world]
    rng = np.random.default_rng([person.seed, person.number, 17])
    kind = pick(rng, world.walls)
    light = _light(rng, pick(rng, world.lights))
    if kind == "white":
        return Place(None, None, 0.0, light)
    wall = _surface(rng, kind, WALL_COLOURS.get(kind, tuple(PALETTE)))
    kinds, colours = (PAVING, PAVING_COLOURS) if kind == "street" else (FLOORS, FLOOR_COLOURS)
    floor = _surface(rng, pick(rng, kinds), colours)
    if kind in PLAIN and rng.random() < 0.5:
        return Place(wall, None, float(rng.uniform(0.9, 2.0)), light)
    far = (1.5, 3.0) if kind in SCENES else (0.6, 1.6)
    return Place(wall, floor, float(rng.uniform(*far)), light)


def _surface(rng: np.random.Generator, kind: str, colours: Sequence[str]) -> Surface:
    """A surface of that kind: mostly of muted colours, as walls and floors are."""
    base = np.array(PALETTE[pick(rng, colours)])
    muted = rng.uniform(0.0, 0.8)
    first = base * (1 - muted) + rng.uniform(0.25, 0.95) * muted
    second = first * rng.uniform(0.55, 0.85) if rng.random() < 0.6 else 1 - (1 - first) * 0.5
    scale, seed = float(rng.uniform(0.7, 1.5)), int(rng.integers(2**31))
    (a, b, c), (x, y, z) = map(float, first), map(float, second)
    return Surface(kind, ((a, b, c), (x, y, z)), scale, seed)


def _light(rng: np.random.Generator, kind: str) -> Light:
    """A light from any side in front, above or, now and then, a little behind."""
    if kind == "studio":
        return STUDIO
    hard = kind == "hard"
    side, height = rng.uniform(-75, 75), rng.uniform(25, 60)
    if rng.random() < 0.15:
        side = rng.choice([-1, 1]) * rng.uniform(95, 125)
    a, b = np.deg2rad(side), np.deg2rad(height)
    direction = (float(np.sin(a) * np.cos(b)), float(np.cos(a) * np.cos(b)), float(-np.sin(b)))
    warm = rng.uniform(-0.14, 0.14)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    strength = rng.uniform(0.8, 1.1)
    key = strength * tint * (rng.uniform(1.7, 2.3) if hard else rng.uniform(1.0, 1.7))
    sky = strength / tint * (rng.uniform(0.28, 0.42) if hard else rng.uniform(0.45, 0.62))
    spread = 0.0 if hard else float(rng.uniform(6, 20))
    (r, g, b), (x, y, z) = map(float, key), map(float, sky)
    return Light(direction, (r, g, b), (x, y, z), spread)

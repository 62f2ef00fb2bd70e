"""Who rendered people are and what they wear, drawn at random from seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar

import numpy as np

Option = TypeVar("Option")
Colour = tuple[float, float, float]

PALETTE = {  # sRGB in [0, 1]
    "white": (0.90, 0.90, 0.88), "black": (0.05, 0.05, 0.06), "grey": (0.50, 0.50, 0.52),
    "charcoal": (0.20, 0.21, 0.23), "navy": (0.08, 0.11, 0.28), "blue": (0.16, 0.32, 0.70),
    "light blue": (0.60, 0.76, 0.90), "denim": (0.24, 0.34, 0.50), "red": (0.74, 0.10, 0.12),
    "burgundy": (0.40, 0.07, 0.14), "pink": (0.93, 0.62, 0.70), "coral": (0.93, 0.42, 0.36),
    "orange": (0.90, 0.46, 0.10), "mustard": (0.80, 0.60, 0.14), "yellow": (0.95, 0.85, 0.30),
    "olive": (0.36, 0.38, 0.18), "green": (0.12, 0.45, 0.24), "mint": (0.62, 0.85, 0.73),
    "teal": (0.07, 0.42, 0.46), "purple": (0.38, 0.18, 0.52), "lavender": (0.72, 0.64, 0.86),
    "beige": (0.80, 0.71, 0.58), "brown": (0.36, 0.22, 0.13), "tan": (0.66, 0.48, 0.31),
}  # fmt: skip
TROUSER_COLOURS = (
    *("denim", "denim", "denim", "navy", "black", "black", "charcoal", "grey", "white", "beige"),
    *("tan", "olive", "brown", "burgundy", "light blue", "teal", "red"),
)
SHOE_COLOURS = ("black", "black", "white", "brown", "tan", "red", "navy", "grey", "beige")
SKIN = np.array(
    [
        *((0.96, 0.82, 0.73), (0.93, 0.76, 0.65), (0.88, 0.69, 0.56), (0.80, 0.60, 0.46)),
        *((0.69, 0.49, 0.36), (0.55, 0.37, 0.26), (0.41, 0.27, 0.19), (0.31, 0.20, 0.15)),
    ]
)
HAIR = {
    "black": (0.05, 0.04, 0.04), "dark brown": (0.14, 0.08, 0.05), "brown": (0.28, 0.17, 0.10),
    "auburn": (0.42, 0.18, 0.09), "blond": (0.76, 0.58, 0.34), "light blond": (0.87, 0.75, 0.53),
    "grey": (0.55, 0.54, 0.53),
}  # fmt: skip
EYES = ((0.2, 0.12, 0.07), (0.2, 0.12, 0.07), (0.25, 0.4, 0.55), (0.3, 0.4, 0.25))
PATTERNS = ("plain", "horizontal stripes", "vertical stripes", "checks", "dots", "blocks")


@dataclass(frozen=True)
class Garment:
    """One piece of clothing; lengths are metres of the template, see `wardrobe.Fields`.

    kind: top, jacket, trousers or skirt; hem: height of the lower border; sleeve: 0 none,
    1 to the elbow, 2 to the wrist; neck: (depth, half width) of the neckline; loose: from 0, tight,
    to 1, wide; pattern (see `prints`), names of colours and scale (metres per period) of the cloth;
    figure: the word or the motif on the chest.
    """

    kind: str
    name: str
    hem: float
    sleeve: float = 0.0
    neck: tuple[float, float] = (0.05, 0.09)
    loose: float = 0.3
    pattern: str = "plain"
    colours: tuple[str, ...] = ("white", "black")
    scale: float = 0.08
    figure: str = ""


@dataclass(frozen=True)
class Identity:
    """A person: body, hair and outfit; `folder` is its place in a data set.

    shoe_height: up to where shoes go; shoe_line: up to where they have their own colour, above it
    that of `socks`; hat: beanie, cap or brim, or none; world: where the person is, see `worlds`.
    """

    number: int
    seed: int
    gender: str
    category: str
    shape: dict[str, float]
    skin: Colour
    eyes: Colour
    hair: str
    hair_style: str
    hair_length: float
    beard: float
    garments: tuple[Garment, ...]
    tucked: bool
    shoes: str
    shoe_height: float
    shoe_line: float = 1.0
    socks: str = "white"
    sole: Colour = (0.85, 0.84, 0.8)
    hat: str = ""
    hat_colour: str = "black"
    world: str = "white"

    @property
    def folder(self) -> str:
        """Path under `img/` and `pose/`, like DeepFashion's."""
        return f"{self.gender}/{self.category}/id_{self.number:08d}"


class Cloth(TypedDict):
    """The part of a `Garment` that says what it is made of."""

    pattern: str
    colours: tuple[str, ...]
    scale: float


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def _shape(rng: np.random.Generator, female: bool) -> dict[str, float]:
    ancestry = rng.dirichlet((0.6, 0.6, 0.6))
    return {
        "gender": float(rng.uniform(0.85, 1.0) if female else rng.uniform(0.0, 0.12)),
        "age": float(rng.uniform(0.62, 0.80)),
        "muscle": float(rng.uniform(0.35, 0.75)),
        "weight": float(rng.uniform(0.30, 0.72)),
        "height": float(rng.uniform(0.35, 0.75)),
        "proportions": float(rng.uniform(0.3, 0.9)),
        "cupsize": float(rng.uniform(0.3, 0.65)),
        "firmness": float(rng.uniform(0.5, 0.9)),
        **dict(zip(("african", "asian", "caucasian"), map(float, ancestry), strict=True)),
    }


def _cloth(
    rng: np.random.Generator, plain: float, colours: Sequence[str] = tuple(PALETTE)
) -> Cloth:
    """A random cloth; `plain` is the probability of having no pattern."""
    first, second = pick(rng, colours), pick(rng, tuple(PALETTE))
    while np.abs(np.subtract(PALETTE[first], PALETTE[second])).sum() < 0.6:
        second = pick(rng, tuple(PALETTE))
    pattern = "plain" if rng.random() < plain else pick(rng, PATTERNS[1:])
    scale = float(rng.uniform(0.035, 0.12))
    return {"pattern": pattern, "colours": (first, second), "scale": scale}


def _top(rng: np.random.Generator, female: bool) -> Garment:
    sleeves = {"tank top": 0.0, "T-shirt": rng.uniform(0.35, 0.85), "shirt": rng.uniform(1.6, 1.95)}
    name = pick(rng, ("tank top", "T-shirt", "T-shirt", "shirt", "shirt", "sweater"))
    sleeve = float(sleeves.get(name, 1.93))
    neck = (float(rng.uniform(0.03, 0.14 if female else 0.07)), float(rng.uniform(0.075, 0.10)))
    hem = float(rng.uniform(-0.06, 0.10) if female else rng.uniform(-0.08, 0.03))
    loose = float(rng.uniform(0.1, 1.0))
    return Garment("top", name, hem, sleeve, neck, loose, **_cloth(rng, 0.4))


def _skirt(rng: np.random.Generator) -> Garment:
    hem = float(rng.choice([rng.uniform(-0.30, -0.18), rng.uniform(-0.48, -0.3), -0.66]))
    return Garment("skirt", "skirt", hem, loose=float(rng.uniform(0, 1)), **_cloth(rng, 0.5))


def _trousers(rng: np.random.Generator) -> Garment:
    short = rng.random() < 0.25
    hem = float(rng.uniform(-0.33, -0.15) if short else rng.choice([-0.74, -0.72, -0.60]))
    name = "shorts" if short else "trousers"
    cloth = _cloth(rng, 0.85, TROUSER_COLOURS)
    return Garment("trousers", name, hem, loose=float(rng.uniform(0.05, 1)), **cloth)


def _outfit(rng: np.random.Generator, female: bool) -> tuple[str, list[Garment], bool]:
    top = _top(rng, female)
    kind = rng.random()
    tucked = bool(rng.random() < 0.35)
    if female and kind < 0.3:
        skirt = _skirt(rng)
        cloth: Cloth = {"pattern": top.pattern, "colours": top.colours, "scale": top.scale}
        skirt = Garment("skirt", "dress", skirt.hem, loose=skirt.loose, **cloth)
        top = Garment("top", "dress", 0.12, top.sleeve, top.neck, 0.1, **cloth)
        return "Dresses", [top, skirt], True
    if female and kind < 0.5:
        garments, category = [top, _skirt(rng)], "Skirts"
    else:
        garments = [top, _trousers(rng)]
        category = "Shorts" if garments[1].name == "shorts" else "Pants"
    if rng.random() < 0.22:
        sleeve, hem = float(rng.uniform(1.7, 1.95)), float(rng.uniform(-0.14, 0.02))
        garments.append(
            Garment("jacket", "jacket", hem, sleeve, (0.06, 0.08), 0.8, **_cloth(rng, 0.85))
        )
        category = "Jackets_Coats" if female else "Jackets_Vests"
    elif rng.random() < 0.6:
        names = {"tank top": "Tees_Tanks", "T-shirt": "Tees_Tanks"}
        shirts = "Blouses_Shirts" if female else "Shirts_Polos"
        sweaters = "Sweaters" if female else "Sweatshirts_Hoodies"
        category = names.get(top.name, shirts if top.name == "shirt" else sweaters)
    return category, garments, tucked


def _skin(rng: np.random.Generator) -> tuple[float, Colour]:
    """A tone, from 0 to the last of `SKIN`, and its colour."""
    tone = rng.uniform(0, len(SKIN) - 1)
    below = int(tone)
    colour = SKIN[below] + (SKIN[min(below + 1, len(SKIN) - 1)] - SKIN[below]) * (tone - below)
    red, green, blue = map(float, colour)
    return tone, (red, green, blue)


def identity(seed: int, number: int) -> Identity:
    """The person `number` of the world `seed`; equal arguments give an equal person."""
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if not 0 <= number < 10**8:
        raise ValueError(f"number must be in [0, 10**8), got {number}")
    # The order of the draws below defines all people: another order gives other people.
    rng = np.random.default_rng([seed, number])
    female = bool(rng.random() < 0.65)
    category, garments, tucked = _outfit(rng, female)
    tone, skin = _skin(rng)
    dark = ("black", "dark brown", "brown")
    styles = ("long", "long", "bob", "bun") if female else ("short", "short", "crop", "bob")
    lengths = {"long": rng.uniform(0.38, 0.56), "bob": rng.uniform(0.58, 0.64)}
    style = pick(rng, styles)
    return Identity(
        number=number,
        seed=seed,
        gender="WOMEN" if female else "MEN",
        category=category,
        shape=_shape(rng, female),
        skin=skin,
        eyes=pick(rng, EYES),
        hair=pick(rng, dark if tone > 4 else tuple(HAIR)),
        hair_style=style,
        hair_length=float(lengths.get(style, 0.7)),
        beard=0.0 if female or rng.random() < 0.6 else float(rng.uniform(0.3, 0.9)),
        garments=tuple(garments),
        tucked=tucked,
        shoes=pick(rng, SHOE_COLOURS),
        shoe_height=float(rng.choice([-0.77, -0.755, -0.69, -0.56])),
    )

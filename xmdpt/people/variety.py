"""People, and what only those of the wide world wear: prints, hair, hats, socks and shoes."""

from dataclasses import replace

import numpy as np

from xmdpt.people import looks
from xmdpt.people.looks import PALETTE, SHOE_COLOURS, Garment, Identity, pick
from xmdpt.people.prints import FIGURES, MOTIFS, STROKES
from xmdpt.people.worlds import WORLDS

REPEATED = ("plaid", "plaid", "zigzag", "diamonds", "flowers", "pinstripes")
PARTED = ("halves", "raglan", "raglan", "fade")
HAIR_STYLES = {
    "WOMEN": ("ponytail", "ponytail", "top knot", "afro", "curly"),
    "MEN": ("shaved", "afro", "curly", "ponytail"),
}
HATS = ("beanie", "cap", "cap", "brim")
SOLES = ((0.85, 0.84, 0.8), (0.95, 0.95, 0.95), (0.06, 0.06, 0.07), (0.62, 0.45, 0.28))
LOW, HIGH = (-0.77, -0.755), (-0.69, -0.56, -0.45)
"""Heights on the template at which low shoes end, and boots and socks."""


def identity(seed: int, number: int, world: str = "white") -> Identity:
    """The person `number` of `seed` in a world of `worlds.WORLDS`; equal arguments, equal people.

    Worlds differ in clothes at most: body, face and place in the data set are the same in each.
    Raises ValueError for an unknown world.
    """
    if world not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}, got {world}")
    person = replace(looks.identity(seed, number), world=world)
    return _dressed_up(person) if WORLDS[world].clothes else person


def _dressed_up(person: Identity) -> Identity:
    """The person with some clothes, hair and shoes changed for others; half of them stay."""
    rng = np.random.default_rng([person.seed, person.number, 23])
    style, hat, boots = person.hair_style, "", bool(rng.random() < 0.4)
    if rng.random() < 0.4:
        style = pick(rng, HAIR_STYLES[person.gender])
    if rng.random() < 0.25 and style not in ("afro", "curly", "top knot"):
        hat = pick(rng, HATS)
    return replace(
        person,
        garments=_printed(rng, person.garments),
        hair_style=style,
        hat=hat,
        hat_colour=pick(rng, tuple(PALETTE)),
        shoes=pick(rng, SHOE_COLOURS),
        shoe_height=float(rng.choice(HIGH if boots else LOW)),
        shoe_line=float(rng.choice([1.0, -0.762])),
        socks=pick(rng, tuple(PALETTE)),
        sole=pick(rng, SOLES),
    )


def _printed(rng: np.random.Generator, garments: tuple[Garment, ...]) -> tuple[Garment, ...]:
    """The garments, half of them in prints of the wide world; both parts of a dress have one."""
    done: list[Garment] = []
    for garment in garments:
        dress = next((one for one in done if one.name == garment.name == "dress"), None)
        if dress is not None:
            done.append(replace(garment, pattern=dress.pattern, colours=dress.colours))
        elif rng.random() < 0.5:
            done.append(_print(rng, garment))
        else:
            done.append(garment)
    return tuple(done)


def _print(rng: np.random.Generator, garment: Garment) -> Garment:
    shirt = garment.kind == "top" and garment.name != "dress"
    kind = pick(rng, ("repeated", "parted", "figure", "figure") if shirt else ("repeated",))
    if kind == "figure":
        pattern = pick(rng, FIGURES)
        word = "".join(pick(rng, tuple(STROKES)) for _ in range(int(rng.integers(1, 6))))
        figure = word if pattern == "letters" else pick(rng, tuple(MOTIFS))
        return replace(garment, pattern=pattern, figure=figure)
    names = REPEATED if kind == "repeated" else PARTED
    return replace(garment, pattern=pick(rng, names), scale=float(rng.uniform(0.05, 0.16)))

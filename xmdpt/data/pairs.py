"""Names of pictures and of results: DeepFashion's folders, their mangled form, pairs of them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

T = TypeVar("T")

NESTED = re.compile(r"(WOMEN|MEN)/([^/]+)/id_(\d{8})/(\d{2})_(\d)_([a-z]+)(?:\.\w+)?$")
MANGLED = r"fashion(?:WOMEN|MEN)[A-Za-z_]+?id\d{10}_\d[a-z]+"
PARTS = re.compile(r"fashion(WOMEN|MEN)([A-Za-z_]+?)id(\d{8})(\d{2})_(\d)([a-z]+)")
MARKET = re.compile(r"(-?\d+)_c\d+s\d+_\d+_\d+")
SUFFIX = r"(?:\.(?:png|jpg|jpeg))?"
SEPARATOR = r"_2_|_to_|___"
MANGLED_RESULT = re.compile(
    rf"(?:deep)?({MANGLED}){SUFFIX}(?:{SEPARATOR})(?:deep)?({MANGLED}){SUFFIX}(?:_vis)?{SUFFIX}"
)
SOURCE_PART = re.compile(rf"(.+?){SUFFIX}", re.IGNORECASE)
TARGET_PART = re.compile(rf"(.+?){SUFFIX}(?:_vis)?{SUFFIX}", re.IGNORECASE)


def mangle(path: str | Path) -> str:
    """Return the one-word name, without suffix, by which DeepFashion's tools know a picture.

    `img/WOMEN/Dresses/id_00007132/04_4_full.jpg` becomes `fashionWOMENDressesid0000713204_4full`
    wherever the folder lies; a name already mangled (a leading `deep`, as some tools write it,
    falls) stays, and a picture outside that scheme is known by its file name.
    """
    path = PurePosixPath(str(path).replace("\\", "/"))
    nested = NESTED.search(str(path))
    if nested:
        gender, category, identity, colour, number, view = nested.groups()
        return f"fashion{gender}{category}id{identity}{colour}_{number}{view}"
    name = path.stem if re.fullmatch(r"\.(png|jpe?g)", path.suffix.lower()) else path.name
    return re.sub(rf"^deep(?={MANGLED}$)", "", name)


def result_name(source: str | Path, target: str | Path) -> str:
    """Return the file name of the picture made from `source` in the pose of `target`."""
    return f"{mangle(source)}_2_{mangle(target)}_vis.png"


def possible_pairs(name: str | Path) -> list[tuple[str, str]]:
    """Return the mangled names of the (source, target) that a result's file name can mean.

    Several where they hold what separates them: `anna_2_2_anna_3_vis.png`. Also read: `_to_` or
    `___` between the two, suffixes inside the name, no `_vis`, a `deep` before either.
    """
    name = Path(name).name
    mangled = MANGLED_RESULT.fullmatch(name)
    if mangled:
        return [(mangled[1], mangled[2])]
    found = []
    for separator in re.finditer(rf"(?=({SEPARATOR}))", name):
        source = SOURCE_PART.fullmatch(name[: separator.start()])
        target = TARGET_PART.fullmatch(name[separator.end(1) :])
        if source and target:
            found.append((mangle(source[1]), mangle(target[1])))
    return found


def parse_result_name(name: str | Path) -> tuple[str, str]:
    """Split a result's file name into the mangled names of its (source, target).

    Raises ValueError for a name that is not a pair, or could be several (`possible_pairs`).
    """
    pairs = possible_pairs(name)
    if len(pairs) != 1:
        raise ValueError(f"{Path(name).name} is not a result's name: <source>_2_<target>_vis.png")
    return pairs[0]


def canonical(name: str | Path) -> str:
    """Return the path by which the reader knows a picture, from any of its spellings.

    `fashionWOMENDressesid0000713204_4full.jpg`, with or without a leading `deep`, suffix or
    folder, and `WOMEN/Dresses/id_00007132/04_4_full.png` all are
    `img/WOMEN/Dresses/id_00007132/04_4_full.jpg`. A picture outside that scheme keeps its path.
    """
    path = PurePosixPath(str(name).replace("\\", "/"))
    parts = NESTED.search(str(path)) or PARTS.fullmatch(mangle(path))
    if parts is None:
        return str(path)
    gender, category, identity, colour, number, view = parts.groups()
    return f"img/{gender}/{category}/id_{identity}/{colour}_{number}_{view}.jpg"


def item(name: str | Path) -> str:
    """Return what a picture shows: DeepFashion's item, Market-1501's person, or its folder."""
    name = canonical(name)
    found = NESTED.search(name)
    if found:
        return f"id_{found[3]}"
    person = MARKET.match(PurePosixPath(name).name)
    return person[1] if person else str(PurePosixPath(name).parent)


def outfit(name: str | Path) -> str:
    """Return what a picture shows, colour included: garments of one item come in several."""
    found = NESTED.search(canonical(name))
    return "/".join(found.groups()[:4]) if found else item(name)


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """`count` of the items at even distances, in their order, first and last among them; or all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[round(index)] for index in np.linspace(0, len(items) - 1, count)]


def views_of_people(names: Sequence[str], people: int = 8, views: int = 4) -> list[list[str]]:
    """Up to `views` pictures of each of up to `people` people, spread evenly over all of them.

    Pictures of one person in other clothes count as another person, and people of whom there is
    one picture do not count.
    """
    by_person = defaultdict(list)
    for name in sorted(names):
        by_person[outfit(name)].append(name)
    several = [pictures for pictures in by_person.values() if len(pictures) > 1]
    return [spread(pictures, views) for pictures in spread(several, people)]

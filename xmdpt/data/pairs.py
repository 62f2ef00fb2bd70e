"""Names of pictures and results: DeepFashion's paths, their mangled form, and pairs of them."""

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath
from typing import TypeVar

import numpy as np

T = TypeVar("T")

NESTED = re.compile(r"(WOMEN|MEN)/([^/]+)/id_(\d{8})/(\d{2})_(\d)_([a-z]+)(?:\.\w+)?$")
MANGLED = r"fashion(?:WOMEN|MEN)[A-Za-z_]+?id\d{10}_\d[a-z]+"
PARTS = re.compile(r"fashion(WOMEN|MEN)([A-Za-z_]+?)id(\d{8})(\d{2})_(\d)([a-z]+)")
MARKET = re.compile(r"(-?\d+)_c\d+s\d+_\d+_\d+")
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".avif"),
    *(".tif", ".tiff", ".bmp", ".gif", ".ppm"),
)
"""The endings of picture files, in any case of letters: the same on every entry."""
HEIC_SUFFIXES = (".heic", ".heif")
SUFFIX = rf"(?i:{'|'.join(map(re.escape, SUFFIXES))})?"
SEPARATOR = r"_2_|_to_|___"
MANGLED_RESULT = re.compile(
    rf"(?:deep)?({MANGLED}){SUFFIX}(?:{SEPARATOR})(?:deep)?({MANGLED}){SUFFIX}(?:_vis)?{SUFFIX}"
)
SOURCE_PART = re.compile(rf"(.+?){SUFFIX}", re.IGNORECASE)
TARGET_PART = re.compile(rf"(.+?){SUFFIX}(?:_vis)?{SUFFIX}", re.IGNORECASE)


def mangle(path: str | PurePath) -> str:
    """Return the one-word name, without suffix, that DeepFashion's tools use for a picture.

    `img/WOMEN/Dresses/id_00007132/04_4_full.jpg`, below any folder, becomes
    `fashionWOMENDressesid0000713204_4full`. A mangled name stays, without the leading `deep` that
    some tools write. A picture outside that scheme keeps its file name.
    """
    place = PurePosixPath(str(path).replace("\\", "/"))
    nested = NESTED.search(str(place))
    if nested:
        gender, category, identity, colour, number, view = nested.groups()
        return f"fashion{gender}{category}id{identity}{colour}_{number}{view}"
    name = place.stem if place.suffix.lower() in SUFFIXES else place.name
    return re.sub(rf"^deep(?={MANGLED}$)", "", name)


def result_name(source: str | PurePath, target: str | PurePath) -> str:
    """Return the file name of the picture made from `source` in the pose of `target`."""
    return f"{mangle(source)}_2_{mangle(target)}_vis.png"


def by_mangled(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Mangled names, as in tables of scores -> the pair."""
    return {(mangle(source), mangle(target)): (source, target) for source, target in pairs}


def possible_pairs(name: str | PurePath) -> list[tuple[str, str]]:
    """Return every (source, target), as mangled names, that a result's file name can mean.

    There are several if a name contains the separator: `anna_2_2_anna_3_vis.png`. Also accepted:
    `_to_` or `___` as separator, suffixes inside the name, no `_vis`, a `deep` before either name.
    """
    name = PurePath(name).name
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


def canonical(name: str | PurePath) -> str:
    """Return the path that the reader uses for a picture, from any of its spellings.

    `fashionWOMENDressesid0000713204_4full.jpg`, with or without a leading `deep`, suffix or
    folder, and `WOMEN/Dresses/id_00007132/04_4_full.png` all become
    `img/WOMEN/Dresses/id_00007132/04_4_full.jpg`. A picture outside that scheme keeps its path.
    """
    path = PurePosixPath(str(name).replace("\\", "/"))
    parts = NESTED.search(str(path)) or PARTS.fullmatch(mangle(path))
    if parts is None:
        return str(path)
    gender, category, identity, colour, number, view = parts.groups()
    return f"img/{gender}/{category}/id_{identity}/{colour}_{number}_{view}.jpg"


def item(name: str | PurePath) -> str:
    """Return what a picture shows: DeepFashion's item, Market-1501's person, or its folder."""
    name = canonical(name)
    found = NESTED.search(name)
    if found:
        return f"id_{found[3]}"
    person = MARKET.match(PurePosixPath(name).name)
    return person[1] if person else str(PurePosixPath(name).parent)


def outfit(name: str | PurePath) -> str:
    """Return what a picture shows down to the colour: an item may come in several."""
    found = NESTED.search(canonical(name))
    return "/".join(found.groups()[:4]) if found else item(name)


def nearest(name: str, names: Sequence[str]) -> str | None:
    """What looks most like `name` among `names`: a clue to why they do not meet.

    The same but for the case of letters, for DeepFashion's spelling `fasion`, or for folders before
    it, else the closest of 2,000 spread over all.
    """

    def plain(spelling: str) -> str:
        folded = spelling.casefold().replace("fasion", "fashion").rpartition(".")
        letters = re.sub(r"[^a-z0-9]", "", folded[0] or folded[2])
        return re.sub(r".*?(?=(?:wo)?men[a-z]+id\d{8})", "", letters)

    wanted = plain(name)
    alike = next((other for other in names if plain(other) == wanted), None)
    if alike is not None:
        return alike
    by_plain = {plain(other): other for other in spread(names, 2000)}
    close = difflib.get_close_matches(wanted, by_plain, n=1, cutoff=0.0)
    return by_plain[close[0]] if close else None


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """`count` evenly spaced items, in order, including the first and the last; or all of them."""
    if count is None or count >= len(items):
        return list(items)
    return [items[round(index)] for index in np.linspace(0, len(items) - 1, count)]


def views_of_people(
    names: Sequence[str], people: int = 8, views: int = 4, least: int = 2
) -> list[list[str]]:
    """Up to `views` pictures of each of up to `people` people, spread evenly over all of them.

    A person in other clothes counts as another person. People with fewer than `least` pictures are
    left out.
    """
    by_person = defaultdict(list)
    for name in sorted(names):
        by_person[outfit(name)].append(name)
    several = [pictures for pictures in by_person.values() if len(pictures) >= least]
    return [spread(pictures, views) for pictures in spread(several, people)]

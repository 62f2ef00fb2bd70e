"""Draw the rooms of the package from its imports:

    python docs/rooms.py

writes docs/pictures/rooms.svg. Floors are those of pyproject.toml; of the arrows only those that
others do not imply are drawn. A test holds the picture against the code.
"""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/pictures/rooms.svg"
WIDTH, FLOOR, BOX, GAP, MARGIN = 1000, 96, 46, 14, 24
FONT = "font-family='system-ui, sans-serif'"


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top, as pyproject.toml lists them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(one["layers"] for one in settings["contracts"] if one["type"] == "layers")
    outside = {"__main__", "convert"}  # faces for users, with no code of their own
    rows = [[name.strip() for name in re.split(r"[|:]", layer)] for layer in layers]
    return [row for row in ([name for name in row if name not in outside] for row in rows) if row]


def arrows() -> set[tuple[str, str]]:
    """(room, room that it imports from)."""
    graph = grimp.build_graph("xmdpt", exclude_type_checking_imports=True, cache_dir=None)
    found = set()
    for name in graph.modules:
        for other in graph.find_modules_directly_imported_by(name):
            if "." in name and "." in other:
                found.add((name.split(".")[1], other.split(".")[1]))
    return {(room, other) for room, other in found if room != other}


def essential(found: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that no path of others implies."""
    below: dict[str, set[str]] = {}
    for room, other in found:
        below.setdefault(room, set()).add(other)

    def reach(room: str) -> set[str]:
        direct = below.get(room, set())
        return direct.union(*(reach(other) for other in direct))

    return sorted(
        (room, other)
        for room, other in found
        if not any(other in reach(between) for between in below[room] - {other})
    )


def _places(rows: list[list[str]]) -> dict[str, tuple[float, float, float]]:
    """Room -> left, top, width of its box."""
    places = {}
    for number, row in enumerate(rows):
        width = min(200.0, (WIDTH - 2 * MARGIN - (len(row) - 1) * GAP) / len(row))
        left = (WIDTH - len(row) * width - (len(row) - 1) * GAP) / 2
        for position, room in enumerate(row):
            places[room] = (left + position * (width + GAP), MARGIN + number * FLOOR, width)
    return places


def _box(room: str, place: tuple[float, float, float]) -> str:
    left, top, width = place
    name = f"{room}/" if (ROOT / "xmdpt" / room).is_dir() else f"{room}.py"
    return (
        f"<rect x='{left:.0f}' y='{top}' width='{width:.0f}' height='{BOX}' rx='6' "
        "fill='#eef3fa' stroke='#4a6fa5'/>"
        f"<text x='{left + width / 2:.0f}' y='{top + BOX / 2 + 5:.0f}' text-anchor='middle' "
        f"font-size='16' {FONT} fill='#1b2a41'>{name}</text>"
    )


def _curve(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x1, y1 = start[0] + start[2] / 2, start[1] + BOX
    x2, y2 = end[0] + end[2] / 2, end[1]
    bend = (y2 - y1) / 2
    return (
        f"<path d='M{x1:.0f} {y1} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} "
        f"{x2:.0f} {y2}' fill='none' stroke='#8a99ad' stroke-width='1.3' marker-end='url(#tip)'/>"
    )


def draw() -> str:
    """The picture as SVG; the same imports give the same text."""
    rows = floors()
    places = _places(rows)
    curves = [_curve(places[room], places[other]) for room, other in essential(arrows())
              if room in places and other in places]  # fmt: skip
    boxes = [_box(room, place) for room, place in places.items()]
    lines = [
        f"<path d='M0 {(MARGIN + n * FLOOR - (FLOOR - BOX) / 2):.0f} H{WIDTH}' stroke='#e3e8ef'/>"
        for n, _ in enumerate(pairwise(rows), start=1)
    ]
    height = 2 * MARGIN + (len(rows) - 1) * FLOOR + BOX
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}'>",
            "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' "
            "markerHeight='7' orient='auto'>"
            "<path d='M0 0 L8 4 L0 8 z' fill='#8a99ad'/></marker></defs>",
            f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
            *lines,
            *curves,
            *boxes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE}")

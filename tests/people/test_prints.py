"""Prints: figures are upright and on the chest alone; parts and tiles have two colours."""

from dataclasses import replace

import numpy as np
import pytest

from xmdpt.people import prints
from xmdpt.people.looks import PALETTE, Garment

SHIRT = Garment("top", "T-shirt", 0.0, colours=("white", "black"))
WHITE, BLACK = (prints.linear(PALETTE[name]) for name in SHIRT.colours)


def at(tile: np.ndarray, place: tuple[float, float, float]) -> np.ndarray:
    """The colour of a figure's picture at a place on the template."""
    u, v = prints.chest_coordinates(np.array([place]))[0]
    side = len(tile)
    return tile[int(v * side), int(u * side)]


def test_letters_are_upright_and_not_mirrored_on_the_wearer():
    tile = prints.figure_tile(replace(SHIRT, pattern="letters", figure="L"))
    far, chest = np.linspace(0, 0.1, 60), prints.CHEST_MIDDLE

    def black(places) -> bool:
        return any((at(tile, place) == BLACK).all() for place in places)

    # x grows to the right of whoever faces the wearer: the stem of an L is on the left,
    assert black((-x, -0.1, chest) for x in far) and not black((x, -0.1, chest) for x in far)
    # and its foot is below.
    assert black((0.01, -0.1, chest - z) for z in far)
    assert not black((0.01, -0.1, chest + z) for z in far)


@pytest.mark.parametrize("figure", [*prints.MOTIFS, "A", "MMMMM"])
def test_a_figure_is_in_the_middle_and_its_edge_is_cloth(figure):
    pattern = "motif" if figure in prints.MOTIFS else "letters"
    tile = prints.figure_tile(replace(SHIRT, pattern=pattern, figure=figure))
    black = (tile == BLACK).all(axis=2)
    assert 0.005 < black.mean() < 0.5
    assert not black[[0, -1]].any() and not black[:, [0, -1]].any()
    rows, columns = (axis.mean() / len(tile) for axis in black.nonzero())
    assert abs(rows - 0.5) < 0.12 and abs(columns - 0.5) < 0.12
    assert (at(tile, (0.0, 0.1, prints.CHEST_MIDDLE)) == WHITE).all(), "nothing on the back"


@pytest.mark.parametrize("pattern", prints.TILES)
def test_tiles_show_both_colours(pattern):
    tile = prints.pattern_tile(replace(SHIRT, pattern=pattern))[:, :, 0]
    assert tile.min() < WHITE[0] * 0.7 and tile.max() == pytest.approx(WHITE[0])


@pytest.mark.parametrize("pattern", ["dots", "plaid", "zigzag", "diamonds", "flowers"])
def test_tiles_meet_themselves(pattern):
    tile = prints.pattern_tile(replace(SHIRT, pattern=pattern))[:, :, 0]
    for border in (tile[:, 0] - tile[:, -1], tile[0] - tile[-1]):
        assert np.abs(border).mean() < 0.1 * np.ptp(tile)


def test_parts_are_where_their_names_say():
    place = np.array([[-0.1, 0, 0.4], [0.1, 0, 0.0]])
    arm = np.array([1.0, 0.0])
    shares = {name: rule(SHIRT, place, arm).tolist() for name, rule in prints.PARTS.items()}
    assert shares["halves"] == [0, 1] and shares["raglan"] == [1, 0]
    assert shares["blocks"] == [1, 0] and shares["fade"][0] > 0.6 > shares["fade"][1] == 0

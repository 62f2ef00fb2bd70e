"""Worlds: what each of them varies, and what it leaves as it is."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from xmdpt.config import RenderedConfig
from xmdpt.people import bodies, looks
from xmdpt.people.dresser import Dresser
from xmdpt.people.prints import FIGURES, PARTS, TILES
from xmdpt.people.variety import HATS, identity
from xmdpt.people.views import PORTRAITS, Shot, view
from xmdpt.people.worlds import PLAIN, SCENES, STUDIO, TEXTURED, WORLDS, place

NUMBERS = range(60)


def people(world: str) -> list[looks.Identity]:
    return [identity(0, number, world) for number in NUMBERS]


def views(world: str) -> list:
    return [view(person, number) for person in people(world) for number in range(8)]


def test_the_setting_knows_the_worlds():
    assert set(get_args(RenderedConfig.model_fields["world"].annotation)) == set(WORLDS)
    with pytest.raises(ValueError, match=r"world must be one of white, .*, got mars"):
        identity(0, 0, "mars")


@pytest.mark.parametrize("world", ["plain_walls", "textures", "hard_light", "wide"])
def test_a_person_is_at_one_place_and_others_are_elsewhere(world):
    places = [place(person) for person in people(world)]
    assert places == [place(person) for person in people(world)]
    walled = [spot for spot in places if spot.wall]
    assert len(set(walled)) == len(walled) > 40


@pytest.mark.parametrize(
    ("world", "walls"),
    [
        *(("white", {None}), ("poses", {None}), ("hard_light", set(PLAIN))),
        *(("plain_walls", set(PLAIN)), ("textures", {*TEXTURED, *SCENES})),
        ("wide", {None, *PLAIN, *TEXTURED, *SCENES}),
    ],
)
def test_each_world_has_its_walls(world, walls):
    found = {spot.wall and spot.wall.kind for spot in map(place, people(world))}
    assert found == walls


def test_light_varies_only_where_it_should():
    for world in ("white", "poses", "plain_walls", "textures"):
        assert {place(person).light for person in people(world)} == {STUDIO}
    hard = [place(person).light for person in people("hard_light")]
    assert {light.spread for light in hard} == {0.0}
    assert min(max(light.key) / max(light.sky) for light in hard) > 3.5
    sides = np.array([light.direction for light in hard])
    assert sides[:, 0].min() < -0.3 and sides[:, 0].max() > 0.3 and (sides[:, 2] < -0.3).all()
    assert len({light.spread > 0 for light in (place(p).light for p in people("wide"))}) == 2


def test_other_worlds_leave_the_views_of_the_white_one_alone():
    plain = views("white")
    assert views("plain_walls") == views("hard_light") == plain
    assert {one.shot for one in plain} == {Shot()} and not any(one.pose.seated for one in plain)
    for world in ("poses", "wide"):
        changed = views(world)
        assert [one.name for one in changed] == [one.name for one in plain]
        assert [one.yaw for one in changed] == [one.yaw for one in plain]
        assert {one.pose.seated for one in changed} == {True, False}
        fronts = [(a, b) for a, b in zip(plain, changed, strict=True) if a.name == PORTRAITS[0]]
        assert all(a.pose == b.pose for a, b in fronts), "the source of test pairs is a calm one"


def test_cameras_of_the_wide_world_move_and_show_parts():
    wide = views("wide")
    assert {one.framing for one in wide} == {"whole", "knees", "upper"}
    assert {one.framing for one in wide if one.name in PORTRAITS} == {"whole"}
    for name in ("distance", "rise", "roll", "shift"):
        assert np.std([getattr(one.shot, name) for one in wide]) > 0.01, name


def test_clothes_vary_in_the_wide_world_alone():
    plain, wide = people("white"), people("wide")
    assert [replace(one, world="white") for one in people("hard_light")] == plain
    for a, b in zip(plain, wide, strict=True):
        assert (a.folder, a.shape, a.skin, a.eyes) == (b.folder, b.shape, b.skin, b.eyes)
    patterns = {garment.pattern for one in wide for garment in one.garments}
    assert patterns <= {"plain", *TILES, *PARTS, *FIGURES}
    assert {"plaid", "letters", "motif", "raglan", "flowers"} <= patterns
    assert {"", "cap", "beanie"} <= {one.hat for one in wide} <= {"", *HATS}
    assert {"ponytail", "afro", "shaved"} <= {one.hair_style for one in wide}
    assert len({one.sole for one in wide}) > 2 and len({one.shoe_line for one in wide}) == 2
    dresses = [one.garments for one in wide if one.garments[0].name == "dress"]
    assert all(top.pattern == skirt.pattern for top, skirt, *_ in dresses) and dresses


@pytest.fixture(scope="module")
def template() -> bodies.BodyTemplate:
    return bodies.load_template()


@pytest.fixture(scope="module")
def shape() -> bodies.Shape:
    return bodies.rest_shapes([identity(0, 3).shape])[0]


def test_who_sits_has_knees_in_front_and_hips_low(template, shape):
    rest, heads = shape
    person = next(one for one in views("poses") if one.pose.seated)

    def joints(pose: bodies.Pose) -> np.ndarray:
        turns = bodies.bone_rotations(template, heads, pose)
        transforms = bodies.skin_transforms(template, heads, turns, 0.0)
        points = bodies.key_points(template, bodies.skin(template.weights, transforms, rest))
        return points - (0, 0, points[:, 2].min())  # the lower foot is on the floor

    standing = view(identity(0, 3), 0).pose
    sitting = joints(replace(standing, legs=person.pose.legs, seated=True))
    upright = joints(standing)
    hips, knees = [8, 11], [9, 12]
    assert (sitting[hips, 2] < 0.7 * upright[hips, 2]).all()
    assert (sitting[knees, 1] < sitting[hips, 1] - 0.25).all(), "-y is in front"
    assert np.abs(sitting[hips, 2] - sitting[knees, 2]).max() < 0.2


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        ({"hair_style": "top knot"}, (2, 0.05)),
        ({"hair_style": "afro"}, (2, 0.03)),
        ({"hair_style": "ponytail"}, (1, 0.02)),
        ({"hat": "beanie"}, (2, 0.005)),
        ({"hat": "brim"}, (2, 0.01)),
        ({"hat": "cap"}, (1, -0.03)),
    ],
)
def test_hair_and_hats_stand_out_from_the_head(template, shape, change, grows):
    def head(person: looks.Identity) -> np.ndarray:
        layers = Dresser(template).dress(person, *shape)
        points = np.concatenate([layer.rest for layer in layers])
        return points[points[:, 2] > points[:, 2].max() - 0.2]

    plain = replace(identity(0, 3), hair_style="crop")
    before, after = head(plain), head(replace(plain, **change))
    axis, least = grows
    far = np.max if least > 0 else np.min
    step = far(after[:, axis]) - far(before[:, axis])
    assert step * np.sign(least) > abs(least)

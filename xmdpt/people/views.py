"""The pictures that are taken of people: poses, camera and framing, drawn from seeds."""

from dataclasses import dataclass, replace

import numpy as np

from xmdpt.people.bodies import Direction, Pose
from xmdpt.people.looks import Identity, pick
from xmdpt.people.worlds import WORLDS

LIVELY_ARMS = (
    *("hang", "hang", "hip", "hip", "bent", "forward", "raised", "head", "out", "pocket"),
)
CALM_ARMS = ("hang", "hang", "away", "back", "pocket", "hip")
LIVELY_LEGS = ("walk", "walk", "step", "relaxed", "wide")
CALM_LEGS = ("stand", "relaxed", "step")
VIEWS = (  # file name, range of yaw in degrees (of either sign), whether the pose is lively
    ("01_1_front", (0, 8), False),
    ("01_7_additional", (25, 50), False),
    ("01_3_back", (160, 180), False),
    ("01_2_side", (68, 98), False),
    ("01_4_full", (0, 18), True),
    ("02_7_additional", (22, 58), True),
    ("02_3_back", (118, 155), True),
    ("02_4_full", (0, 30), True),
)


WIDE_ARMS = {  # (upper, lower) directions of an arm, x outwards, of the wide world alone
    "up": ((0.22, -0.10, 1), (0.02, -0.10, 1)),
    "high": ((0.75, -0.05, 0.80), (0.62, -0.10, 0.90)),
    "level": ((1, -0.02, 0.05), (1, -0.10, 0.02)),
    "wave": ((0.90, -0.15, 0.05), (0.25, -0.20, 0.95)),
    "reach": ((0.15, -1, 0.05), (0.05, -1, 0.15)),
    "swing fore": ((0.16, -0.55, -1), (0.05, -0.95, -0.55)),
    "swing aft": ((0.20, 0.60, -1), (0.16, 0.25, -1)),
}
SEATED_ARMS = {
    "lap": ((0.22, -0.38, -1), (-0.10, -0.95, -0.42)),
    "beside": ((0.34, 0.12, -1), (0.16, -0.06, -1)),
    "hang": ((0.30, 0.02, -1), (0.16, -0.20, -1)),
}
SEATED = tuple(SEATED_ARMS)
RAISED_ARMS = ("up", "high", "level", "wave", "reach", "hip", "bent")
SEATED_LEGS = {  # (upper, lower) directions of a leg, x outwards
    "upright": ((0.12, -1, -0.10), (0.02, 0.02, -1)),
    "apart": ((0.36, -1, -0.10), (0.06, 0.04, -1)),
    "stretched": ((0.14, -1, -0.16), (0.06, -0.50, -1)),
}
Limb = tuple[Direction, Direction]
WIDE_LEGS: dict[str, tuple[Limb, Limb]] = {  # of the left leg, then of the right one
    "stride": (((0.03, -0.62, -1), (0.02, -0.10, -1)), ((0.03, 0.36, -1), (0.02, 0.75, -1))),
    "lunge": (((0.06, -1, -0.80), (0.03, 0.10, -1)), ((0.06, 0.42, -1), (0.03, 0.80, -0.85))),
    "one leg": (((0.10, -0.95, -0.45), (0.02, 0.20, -1)), ((0.02, -0.02, -1), (0.02, 0.05, -1))),
    "astride": (((0.42, 0, -1), (0.38, 0.04, -1)), ((0.42, 0, -1), (0.38, 0.04, -1))),
}
PORTRAITS = ("01_1_front", "01_7_additional")
"""Names of the views that show a person clearly and whole."""
FRAMINGS = ("whole", "whole", "whole", "knees", "knees", "upper", "upper")


@dataclass(frozen=True)
class Shot:
    """How a camera takes a picture.

    distance: metres from the person; rise: degrees by which it looks down; roll: degrees by which
    it is turned, clockwise; zoom: how many times as large as it must be the frame is; shift: by
    what share of the frame's width the person is beside its middle.
    """

    distance: float = 7.0
    rise: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class View:
    """One picture of a person: file stem, yaw (degrees), pose and framing.

    top and bottom: margins as fractions of the frame's height; framing: whole, or what is above the
    knees, or the upper body.
    """

    name: str
    yaw: float
    pose: Pose
    top: float
    bottom: float
    framing: str
    shot: Shot = Shot()


def _arm(rng: np.random.Generator, kind: str, wide: float) -> tuple[Direction, Direction]:
    """(upper, lower) directions of one arm, x outwards, with some jitter."""
    upper, lower = {
        "hang": ((0.20 + wide, 0.06, -1), (0.08 + wide / 2, -0.16, -1)),
        "away": ((0.50, 0.10, -1), (0.42, -0.25, -1)),
        "back": ((0.28, 0.45, -1), (0.20, 0.05, -1)),
        "forward": ((0.18, -0.40, -1), (0.05, -0.75, -0.80)),
        "hip": ((0.80, 0.38, -0.80), (-0.52, -0.38, -0.55)),
        "pocket": ((0.42, 0.30, -1), (-0.12, -0.42, -0.85)),
        "bent": ((0.25, 0.05, -1), (-0.10, -0.95, 0.25)),
        "raised": ((0.85, -0.25, 0.45), (-0.30, -0.05, 0.95)),
        "head": ((0.95, -0.10, 0.30), (-0.62, 0.05, 0.62)),
        "out": ((0.95, -0.05, -0.45), (0.80, -0.30, -0.35)),
        **WIDE_ARMS,
    }[kind]
    return _jittered(rng, upper, lower)


def _jittered(
    rng: np.random.Generator, upper: Direction, lower: Direction
) -> tuple[Direction, Direction]:
    jitter = rng.normal(0, 0.05, (2, 3))
    return tuple(np.add(upper, jitter[0])), tuple(np.add(lower, jitter[1]))


def _legs(rng: np.random.Generator, kind: str) -> tuple[Direction, ...]:
    """(upper, lower) directions of the left leg, then of the right one."""
    spread = rng.uniform(0.0, 0.06)
    straight = ((spread, -0.02, -1), (spread, 0.05, -1))
    fore, aft = ((spread, -0.34, -1), (spread, 0.03, -1)), ((spread, 0.22, -1), (spread, 0.42, -1))
    bent = ((0.12 + spread, -0.22, -1), (0.02, 0.30, -1))
    wide = ((0.20, 0, -1), (0.17, 0.03, -1))
    left, right = {
        "stand": (straight, straight),
        "walk": (fore, aft),
        "step": (((spread, -0.18, -1), (spread, 0.04, -1)), straight),
        "relaxed": (bent, straight),
        "wide": (wide, wide),
    }[kind]
    return left + right if rng.random() < 0.5 else right + left


def _pose(rng: np.random.Generator, person: Identity, lively: bool) -> Pose:
    arm_kinds = LIVELY_ARMS if lively else CALM_ARMS
    skirts = [garment for garment in person.garments if garment.kind == "skirt"]
    wide = 0.10 * bool(skirts) + 0.25 * max(0.0, person.shape["weight"] - 0.45)
    arms = _arm(rng, pick(rng, arm_kinds), wide) + _arm(rng, pick(rng, arm_kinds), wide)
    leg_kinds = LIVELY_LEGS if lively else CALM_LEGS
    if any(skirt.hem < -0.4 for skirt in skirts):
        leg_kinds = ("stand", "step", "relaxed")  # a long skirt allows no long stride
    legs = _legs(rng, pick(rng, leg_kinds))
    sway = rng.normal(0, 1, 6) * (2, 2, 4, 4, 3, 10 if lively else 6)
    return Pose(arms, legs, tuple(sway[:3]), tuple(sway[3:]), float(rng.uniform(2, 14)))


def view(person: Identity, number: int) -> View:
    """View `number` of `person`: of every eight, the first is a front view, and all differ."""
    if number < 0:
        raise ValueError(f"view number must not be negative, got {number}")
    order = np.random.default_rng([person.seed, person.number, 7]).permutation(7) + 1
    place, turn = number % 8, number // 8
    name, (low, high), lively = VIEWS[order[place - 1] if place else 0]
    rng = np.random.default_rng([person.seed, person.number, 11, number])
    pose = _pose(rng, person, lively)
    yaw = float(rng.uniform(low, high) * rng.choice([-1, 1]))
    name = f"{int(name[:2]) + 2 * turn:02d}{name[2:]}"
    crop = bool(rng.random() < 0.25) and "full" not in name and "front" not in name
    top, bottom = (float(v) for v in rng.uniform((0.03, 0.02), (0.07, 0.06)))
    plain = View(name, yaw, pose, top, bottom, "knees" if crop else "whole")
    return _varied(plain, person, number)


def _varied(plain: View, person: Identity, number: int) -> View:
    """The view as the person's world has it: in an unseen pose, by a camera that moves."""
    world = WORLDS[person.world]
    rng = np.random.default_rng([person.seed, person.number, 29, number])
    pose, framing, shot = plain.pose, plain.framing, plain.shot
    if world.poses and plain.name != PORTRAITS[0]:
        pose = _wide_pose(rng, person, plain.pose)
    if world.camera:
        framing = "whole" if plain.name in PORTRAITS else pick(rng, FRAMINGS)
        shot = Shot(
            distance=float(rng.uniform(3.0, 8.0)),
            rise=float(rng.uniform(-6, 16)),
            roll=float(np.clip(rng.normal(0, 1.5), -4, 4)),
            zoom=float(rng.choice([1.0, rng.uniform(1.0, 1.3)])),
            shift=float(rng.uniform(-0.06, 0.06)),
        )
    return replace(plain, pose=pose, framing=framing, shot=shot)


def _wide_pose(rng: np.random.Generator, person: Identity, calm: Pose) -> Pose:
    """A pose that the white studio does not know; spine, head and feet are as in `calm`."""
    skirts = [garment for garment in person.garments if garment.kind == "skirt"]
    free = not any(skirt.hem < -0.3 for skirt in skirts)  # for the legs
    kind = pick(rng, ("sit", "walk", "arms", "arms", "legs") if free else ("arms",))
    if kind == "sit":
        left, right = (_jittered(rng, *SEATED_ARMS[pick(rng, SEATED)]) for _ in range(2))
        legs = SEATED_LEGS[pick(rng, tuple(SEATED_LEGS))]
        return replace(calm, arms=left + right, legs=legs + legs, seated=True)
    if kind == "walk":
        left, right = _arm(rng, "swing aft", 0.0), _arm(rng, "swing fore", 0.0)
    else:
        left, right = (_arm(rng, pick(rng, RAISED_ARMS), 0.0) for _ in range(2))
        right = left if rng.random() < 0.5 else right
    fore, aft = WIDE_LEGS["stride" if kind == "walk" else pick(rng, tuple(WIDE_LEGS))]
    if rng.random() < 0.5:
        left, right, fore, aft = right, left, aft, fore
    return replace(calm, arms=left + right, legs=calm.legs if kind == "arms" else fore + aft)

"""Clothes, hair and skin as meshes that are cut out of the body template.

A cut keeps the part of a mesh where smooth scalar fields are positive. Triangles that the border
crosses are split along it, so hems are smooth. The fields are defined on the template, and all
bodies and poses share them; there, the floor is at z = -0.85 metres and the crown at 0.85.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, sparse

from xmdpt.people.bodies import BodyTemplate
from xmdpt.people.looks import Identity
from xmdpt.people.prints import linear

HIDE_MARGIN = 0.03  # metres of skin that are kept under a garment, next to its hem


def normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) area-weighted unit vertex normals of a triangle mesh."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    flat = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for k in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, k], flat[:, axis], len(points))
    unit: np.ndarray = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return unit


@dataclass
class Piece:
    """Triangles `faces` (F, 3) over points that are weighted means of the template's vertices.

    mix (N, V): sparse weights; mix @ vertices gives the points.
    """

    faces: np.ndarray
    mix: sparse.csr_matrix


def whole(faces: np.ndarray, count: int) -> Piece:
    """The piece with `faces` of a mesh of `count` vertices; unused vertices are dropped."""
    used, flat = np.unique(faces, return_inverse=True)
    ones = np.ones(len(used))
    mix = sparse.csr_matrix((ones, (np.arange(len(used)), used)), shape=(len(used), count))
    return Piece(flat.reshape(-1, 3), mix)


def subdivide(piece: Piece) -> Piece:
    """Split every triangle into four at the midpoints of its edges."""
    edges = np.sort(piece.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, which = np.unique(edges, axis=0, return_inverse=True)
    count = piece.mix.shape[0]
    middle = which.reshape(-1, 3) + count
    a, b, c = piece.faces.T
    d, e, f = middle.T
    faces = np.concatenate([np.stack(t, 1) for t in ((a, d, f), (d, b, e), (f, e, c), (d, e, f))])
    halves = (piece.mix[unique[:, 0]] + piece.mix[unique[:, 1]]) / 2
    return Piece(faces, sparse.vstack([piece.mix, halves]).tocsr())


def clip(piece: Piece, field: np.ndarray) -> Piece:
    """Keep the part of `piece` where `field` (V,), given on the template, is positive."""
    value = piece.mix @ field
    value = np.where(np.abs(value) < 1e-9, 1e-9, value)
    inside = value[piece.faces] > 0
    count = inside.sum(axis=1)
    faces, rows = [piece.faces[count == 3]], []
    number = piece.mix.shape[0]

    def crossing(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
        nonlocal number
        t = (value[inner] / (value[inner] - value[outer]))[:, None]
        rows.append(piece.mix[outer].multiply(t) + piece.mix[inner].multiply(1 - t))
        number += len(outer)
        return np.arange(number - len(outer), number)

    for kept in (1, 2):
        chosen = count == kept
        odd = np.argmax(inside[chosen] == (kept == 1), axis=1)  # the corner that is alone
        tri = piece.faces[chosen]
        a, b, c = (tri[np.arange(len(tri)), (odd + k) % 3] for k in range(3))
        if kept == 1:
            faces.append(np.stack([a, crossing(b, a), crossing(c, a)], axis=1))
        else:
            ab, ac = crossing(a, b), crossing(a, c)
            faces += [np.stack([ab, b, c], axis=1), np.stack([ab, c, ac], axis=1)]
    mix = sparse.vstack([piece.mix, *rows]).tocsr()
    used, flat = np.unique(np.concatenate(faces), return_inverse=True)
    return Piece(flat.reshape(-1, 3), mix[used])


@dataclass(frozen=True)
class Fields:
    """Smooth coordinates of the template's vertices, each (V,).

    x, y, z: position; sleeve: 0 at the shoulder, 1 at the elbow, 2 at the wrist; arm: skinning
    weight of arm and hand.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    sleeve: np.ndarray
    arm: np.ndarray

    @classmethod
    def of(cls, template: BodyTemplate) -> "Fields":
        """The coordinates of the template's vertices."""
        x, y, z = template.vertices.T
        folded = np.stack([np.abs(x), y, z], axis=1)
        joints = ("upperarm01.L", "lowerarm01.L", "wrist.L")
        shoulder, elbow, wrist = (template.heads[template.bone(n)] for n in joints)
        upper, lower = elbow - shoulder, wrist - elbow
        first = (folded - shoulder) @ upper / (upper @ upper)
        second = (folded - elbow) @ lower / (lower @ lower)
        blend = np.clip((first - 0.8) / 0.4, 0, 1)
        sleeve = first * (1 - blend) + (1 + second) * blend
        arm = template.influence("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
        return cls(x, y, z, sleeve, arm)

    def on(self, piece: Piece) -> "Fields":
        """The coordinates of the points of `piece`."""
        return Fields(*(piece.mix @ v for v in (self.x, self.y, self.z, self.sleeve, self.arm)))

    def below_neck(self, depth: float, width: float) -> np.ndarray:
        """Positive below a round neckline, `depth` metres deep and of half width `width`."""
        front = 0.555 - depth * np.clip(1 - (np.abs(self.x) / width) ** 2, -1, 1)
        back = 0.60 - 0.02 * np.clip(1 - (np.abs(self.x) / width) ** 2, -1, 1)
        share = np.clip((self.y + 0.06) / 0.10, 0, 1)  # 0 in front, 1 behind
        line = np.maximum(front * (1 - share) + back * share, 0)
        return np.where(np.abs(self.x) < width + 0.06, line - self.z, 0.2)

    def shirt(self, hem: float, sleeve: float, depth: float, width: float) -> list[np.ndarray]:
        """Fields of a top: above z = `hem`, sleeves to `sleeve` (below 0.1: none), neckline."""
        body = self.z - hem + 5 * np.clip(self.arm - 0.3, 0, 1)
        if sleeve < 0.1:
            arms = (0.45 - self.arm) * 0.15
        else:
            arms = (sleeve - self.sleeve) * 0.25 + 5 * np.clip(0.5 - self.arm, 0, 1)
        return [body, arms, self.below_neck(depth, width)]

    def trousers(self, waist: float, leg: float) -> list[np.ndarray]:
        """Fields of trousers between z = `waist` and z = `leg`."""
        return [waist - self.z - 5 * np.clip(self.arm - 0.2, 0, 1), self.z - leg]


def _neighbours(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """(count, count) weights that average each vertex's neighbours."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(edges))
    directed = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    linked = sparse.csr_matrix((directed + directed.T).astype(bool).astype(float))
    degrees = np.maximum(np.asarray(linked.sum(axis=1)).ravel(), 1)
    return sparse.csr_matrix(sparse.diags(1 / degrees) @ linked)


def relax(points: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Fill the hollows of `points` (N, 3) outwards along normals, like cloth over a body."""
    mean = _neighbours(faces, len(points))
    smooth = points
    for _ in range(rounds):
        smooth = (smooth + mean @ smooth) / 2
    outward = normals(smooth, faces)
    lift = np.maximum(((smooth - points) * outward).sum(axis=1), 0)
    filled: np.ndarray = points + outward * lift[:, None]
    return filled


def drape(points: np.ndarray, arm: np.ndarray, loose: float) -> np.ndarray:
    """Let a top hang: below the chest it narrows less than the body does."""
    torso = arm < 0.2
    centre = np.array([0.0, points[torso][:, 1].mean()])
    offset = points[:, :2] - centre
    radius, angle = np.linalg.norm(offset, axis=1), np.arctan2(offset[:, 0], -offset[:, 1])
    turn = (angle + np.pi) / (2 * np.pi) * 36
    bins = turn.astype(int) % 36
    top, low = np.quantile(points[torso][:, 2], [0.93, 0.0])
    fall = ((top - points[:, 2]) / (top - low) * 40).clip(0, 40)
    rows = fall.astype(int)
    grid = np.zeros((41, 36))
    chest = torso & (points[:, 2] < top)
    np.maximum.at(grid, (rows[chest], bins[chest]), radius[chest])
    grid = np.maximum.accumulate(np.maximum(grid, (np.roll(grid, 1, 1) + np.roll(grid, -1, 1)) / 2))
    for _ in range(3):
        grid = (grid + np.roll(grid, 1, 1) + np.roll(grid, -1, 1)) / 3
    goal = ndimage.map_coordinates(grid, [fall, turn - 0.5], order=1, mode="grid-wrap")
    goal = np.maximum(goal, radius)
    fade = np.clip((top - 0.02 - points[:, 2]) / 0.12, 0, 1) * np.clip(1 - arm * 4, 0, 1)
    scale = 1 + (goal / np.maximum(radius, 1e-6) - 1) * loose * fade
    out = points.copy()
    out[:, :2] = centre + offset * scale[:, None]
    return out


def widen_legs(points: np.ndarray, place: np.ndarray, axis: np.ndarray, loose: float) -> np.ndarray:
    """Widen trouser legs around the leg's `axis` (hip, knee, ankle), further down even more."""
    side = np.where(place[:, 0] >= 0, 1.0, -1.0)
    order = np.argsort(axis[:, 2])
    middle = np.stack([np.interp(points[:, 2], axis[order, 2], axis[order, k]) for k in (0, 1)], 1)
    middle[:, 0] *= side
    depth = np.clip((-0.05 - place[:, 2]) / 0.65, 0, 1)
    offset = points[:, :2] - middle
    radius = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    goal = np.maximum(radius, 0.102 - 0.012 * depth)
    scale = 1 + loose * (goal / radius - 1) * np.clip(depth * 4, 0, 1)
    out = points.copy()
    out[:, :2] = middle + offset * scale[:, None]
    return out


def share_legs(
    weights: sparse.csr_matrix, place: np.ndarray, bones: tuple[str, ...]
) -> sparse.csr_matrix:
    """Skirt weights (N, B): cloth between the legs follows both of them, so it does not split."""
    share = np.clip(0.5 + place[:, 0] / 0.5, 0.2, 0.8)
    out = weights.tolil()
    for left, name in enumerate(bones):
        if name.endswith(".L") and name.startswith(("upperleg", "lowerleg", "foot")):
            right = bones.index(name[:-1] + "R")
            both = (weights[:, [left, right]]).sum(axis=1).A1
            out[:, left], out[:, right] = (both * share)[:, None], (both * (1 - share))[:, None]
    return out.tocsr()


def flare(points: np.ndarray, place: np.ndarray, loose: float) -> np.ndarray:
    """Widen a skirt: `loose` is from 0, straight, to 1, wide with folds."""
    centre = np.array([0.0, points[:, 1].mean()])
    offset = points[:, :2] - centre
    depth = np.clip((0.12 - place[:, 2]) / 0.8, 0, 1)
    angle = np.arctan2(place[:, 0], place[:, 1])
    folds = 0.05 * loose * np.sin(9 * angle) * depth
    scale = 1 + depth * (0.9 * loose - 0.25) + folds
    out = points.copy()
    out[:, :2] = centre + offset * scale[:, None]
    return out


def wrinkles(place: np.ndarray, key: list[int]) -> np.ndarray:
    """(N,) smooth noise at positions (N, 3), about 1 in size, seeded by `key`."""
    rng = np.random.default_rng(key)
    waves = rng.normal(0, 1, (8, 3)) * (22, 22, 34)
    phases = rng.uniform(0, 2 * np.pi, 8)
    noise: np.ndarray = np.sin(place @ waves.T + phases).sum(axis=1) / 3
    return noise


def cloth_coordinates(
    place: np.ndarray, arm: np.ndarray, sleeve: np.ndarray, kind: str
) -> np.ndarray:
    """(N, 2) metres around and along the cloth; symmetric, so that there is no seam."""
    x, y, z = place.T
    if kind == "trousers":
        around = np.abs(np.arctan2(np.abs(x) - 0.12, -(y + 0.02))) * 0.09
        return np.stack([around, z], axis=1)
    around = np.abs(np.arctan2(x, -(y + 0.02))) * 0.15
    along = np.clip(arm, 0, 1)
    about = np.abs(y + 0.06) * 1.3
    u = around * (1 - along) + about * along
    v = z * (1 - along) + (0.53 - 0.26 * sleeve) * along
    return np.stack([u, v], axis=1)


def hairline(fields: Fields, style: str) -> np.ndarray:
    """(V,) positive on the scalp, above a line that leaves face and ears free."""
    angle = np.arctan2(np.abs(fields.x), -(fields.y + 0.035))
    turns = (0, 0.5, 0.85, 1.2, 1.5, 1.8, 2.2, np.pi)
    low = 0.655 if style in ("long", "bob", "short") else 0.675
    line = np.interp(angle, turns, (0.797, 0.793, 0.775, 0.735, 0.745, 0.735, 0.69, low))
    above: np.ndarray = fields.z - line
    return above


def hat_line(fields: Fields) -> np.ndarray:
    """(V,) positive on the part of the head that a hat covers, which begins higher in front."""
    above: np.ndarray = fields.z - 0.772 + 0.25 * (fields.y + 0.035)
    return above


def curtain(fields: Fields) -> np.ndarray:
    """(V,) the y in front of which long hair is cut away, to leave the face free."""
    front: np.ndarray = -0.045 - 0.075 * np.clip((np.abs(fields.x) - 0.06) / 0.025, 0, 1)
    return front


def skin_paint(template: BodyTemplate, person: Identity, hair: np.ndarray) -> np.ndarray:
    """(V, 3) linear skin colour with lips, brows, nails and beard; `hair` (3,) is their colour."""
    base = linear(person.skin)
    x, y, z = np.abs(template.vertices[:, 0]), template.vertices[:, 1], template.vertices[:, 2]
    colour = np.repeat(base[None], len(x), axis=0)

    def paint(mask: np.ndarray, goal: ArrayLike, share: float) -> None:
        nonlocal colour
        colour = colour + (np.asarray(goal) - colour) * (np.clip(mask, 0, 1) * share)[:, None]

    female = person.gender == "WOMEN"
    lips = base * (0.85, 0.40, 0.42) if female else base * (0.85, 0.6, 0.6)
    paint(template.paint_masks["lips"], lips, 0.9)
    paint(template.paint_masks["fingernails"], base * (1, 0.85, 0.85), 0.6)
    brow = 0.754 + 0.10 * (0.03 - np.abs(x - 0.035)) - 0.002
    mask = (np.abs(z - brow) < 0.0045) & (x > 0.012) & (x < 0.055) & (y < -0.10)
    paint(mask.astype(float), hair * 0.7, 0.75)
    if person.beard:
        jaw = np.clip((0.688 - z) / 0.015, 0, 1) * np.clip((z - 0.60) / 0.01, 0, 1)
        jaw = jaw * np.clip((-0.03 - y) / 0.03, 0, 1) * (1 - template.paint_masks["lips"])
        paint(jaw, hair, person.beard)
    return colour

"""Clothes, hair and skin as clean-cut meshes over the body template.

A cut keeps the part of a mesh where smooth scalar fields are positive; triangles crossed by the
border are split along it, so hems are smooth. All fields live on the template, so every body and
pose shares them; coordinates there are metres with the floor at z = -0.85 and the crown at 0.85.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse

from xmdpt.people.bodies import BodyTemplate

HIDE_MARGIN = 0.03  # metres of skin kept under a garment beyond its hem


def linear(colour) -> np.ndarray:
    """sRGB values in [0, 1] as linear light."""
    c = np.asarray(colour, float)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) area-weighted unit vertex normals of a triangle mesh."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    flat = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for k in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, k], flat[:, axis], len(points))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


@dataclass
class Piece:
    """Triangles over interpolated vertices: points = mix @ all vertices of the template order.

    faces (F, 3) int; mix (N, V) sparse rows of barycentric weights.
    """

    faces: np.ndarray
    mix: sparse.csr_matrix


def whole(faces: np.ndarray, count: int) -> Piece:
    """The piece that holds `faces` of a mesh of `count` vertices, unused vertices dropped."""
    used, flat = np.unique(faces, return_inverse=True)
    ones = np.ones(len(used))
    mix = sparse.csr_matrix((ones, (np.arange(len(used)), used)), shape=(len(used), count))
    return Piece(flat.reshape(-1, 3), mix)


def subdivide(piece: Piece) -> Piece:
    """Split every triangle in four at its edge middles."""
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
    """Keep the part of `piece` where `field` (V,) over the template's vertices is positive."""
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
        odd = np.argmax(inside[chosen] == (kept == 1), axis=1)  # the corner alone on its side
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

    sleeve: 0 at the shoulder, 1 at the elbow, 2 at the wrist; arm: weight of the arm and hand;
    x, y, z: position.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    sleeve: np.ndarray
    arm: np.ndarray

    @classmethod
    def of(cls, template: BodyTemplate) -> "Fields":
        """Measure the template."""
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
        """The same coordinates at the vertices of `piece`."""
        return Fields(*(piece.mix @ v for v in (self.x, self.y, self.z, self.sleeve, self.arm)))

    def below_neck(self, depth: float, width: float) -> np.ndarray:
        """Positive below a round neckline `depth` metres under the throat, `width` half wide."""
        front = 0.555 - depth * np.clip(1 - (np.abs(self.x) / width) ** 2, -1, 1)
        back = 0.60 - 0.02 * np.clip(1 - (np.abs(self.x) / width) ** 2, -1, 1)
        share = np.clip((self.y + 0.06) / 0.10, 0, 1)  # 0 in front, 1 behind
        line = np.maximum(front * (1 - share) + back * share, 0)
        return np.where(np.abs(self.x) < width + 0.06, line - self.z, 0.2)

    def shirt(self, hem: float, sleeve: float, depth: float, width: float) -> list[np.ndarray]:
        """Fields of a top: above z = `hem`, arms up to `sleeve` (below 0.1: none), neckline."""
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
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(edges))
    linked = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    linked = ((linked + linked.T) > 0).astype(float)
    return sparse.diags(1 / np.maximum(np.asarray(linked.sum(axis=1)).ravel(), 1)) @ linked


def relax(points: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Fill the hollows of `points` (N, 3) outwards along normals, like cloth over a body."""
    mean = _neighbours(faces, len(points))
    smooth = points
    for _ in range(rounds):
        smooth = (smooth + mean @ smooth) / 2
    outward = normals(smooth, faces)
    lift = np.maximum(((smooth - points) * outward).sum(axis=1), 0)
    return points + outward * lift[:, None]


def drape(points: np.ndarray, arm: np.ndarray, loose: float) -> np.ndarray:
    """Let a top hang: below the chest its radius falls off more slowly than the body's."""
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
    """Trouser legs: scale about the leg's axis (3, 3: hip, knee, ankle), wider further down."""
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


def share_legs(weights: sparse.csr_matrix, place: np.ndarray, bones: tuple[str, ...]):
    """Skirt weights (N, B): the cloth between the legs follows both, so that it does not split."""
    share = np.clip(0.5 + place[:, 0] / 0.5, 0.2, 0.8)
    out = weights.tolil()
    for left, name in enumerate(bones):
        if name.endswith(".L") and name.startswith(("upperleg", "lowerleg", "foot")):
            right = bones.index(name[:-1] + "R")
            both = (weights[:, [left, right]]).sum(axis=1).A1
            out[:, left], out[:, right] = (both * share)[:, None], (both * (1 - share))[:, None]
    return out.tocsr()


def flare(points: np.ndarray, place: np.ndarray, loose: float) -> np.ndarray:
    """Skirts: from straight (0) to wide with folds (1)."""
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
    """(N,) smooth noise of unit size over positions (N, 3), drawn from `key`."""
    rng = np.random.default_rng(key)
    waves = rng.normal(0, 1, (8, 3)) * (22, 22, 34)
    phases = rng.uniform(0, 2 * np.pi, 8)
    return np.sin(place @ waves.T + phases).sum(axis=1) / 3


def cloth_coordinates(place: np.ndarray, arm: np.ndarray, sleeve: np.ndarray, kind: str):
    """(N, 2) metres around and along the cloth; mirrored left and right, so without a seam."""
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
    """(V,) positive on the scalp: above a line that leaves face and ears free."""
    angle = np.arctan2(np.abs(fields.x), -(fields.y + 0.035))
    turns = (0, 0.5, 0.85, 1.2, 1.5, 1.8, 2.2, np.pi)
    low = 0.655 if style in ("long", "bob", "short") else 0.675
    line = np.interp(angle, turns, (0.797, 0.793, 0.775, 0.735, 0.745, 0.735, 0.69, low))
    return fields.z - line


def curtain(fields: Fields) -> np.ndarray:
    """(V,) the y in front of which long hair is cut away, so that the face stays free."""
    return -0.045 - 0.075 * np.clip((np.abs(fields.x) - 0.06) / 0.025, 0, 1)


def skin_paint(template: BodyTemplate, person, hair: np.ndarray) -> np.ndarray:
    """(V, 3) linear skin colour with lips, brows, nails and beard."""
    base = linear(person.skin)
    x, y, z = np.abs(template.vertices[:, 0]), template.vertices[:, 1], template.vertices[:, 2]
    colour = np.repeat(base[None], len(x), axis=0)

    def paint(mask, goal, share):
        nonlocal colour
        colour = colour + (np.asarray(goal) - colour) * (np.clip(mask, 0, 1) * share)[:, None]

    female = person.gender == "WOMEN"
    lips = base * (0.85, 0.40, 0.42) if female else base * (0.85, 0.6, 0.6)
    paint(template.uv_masks["lips"], lips, 0.9)
    paint(template.uv_masks["fingernails"], base * (1, 0.85, 0.85), 0.6)
    brow = 0.754 + 0.10 * (0.03 - np.abs(x - 0.035)) - 0.002
    mask = (np.abs(z - brow) < 0.0045) & (x > 0.012) & (x < 0.055) & (y < -0.10)
    paint(mask.astype(float), hair * 0.7, 0.75)
    if person.beard:
        jaw = np.clip((0.688 - z) / 0.015, 0, 1) * np.clip((z - 0.60) / 0.01, 0, 1)
        jaw = jaw * np.clip((-0.03 - y) / 0.03, 0, 1) * (1 - template.uv_masks["lips"])
        paint(jaw, hair, person.beard)
    return colour

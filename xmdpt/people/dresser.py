"""The dresser: builds the surfaces of a person, clothes, hair, skin and eyes, on a body at rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from xmdpt.people import bodies, prints, solids, wardrobe
from xmdpt.people.looks import HAIR, PALETTE, Garment, Identity
from xmdpt.people.prints import linear
from xmdpt.people.wardrobe import Fields, Piece, normals

SEAT = (0.55, 0.45, 0.36)  # sRGB of the box that people sit on


@dataclass
class Layer:
    """A surface to render: points at rest (N, 3), skinning weights (N, B), triangles and paint.

    The paint is either `colour` (N, 3), or `texture` (h, w, 3) with coordinates `uv` (N, 2); both
    are linear.
    """

    rest: np.ndarray
    weights: sparse.csr_matrix
    faces: np.ndarray
    colour: np.ndarray | None = None
    texture: np.ndarray | None = None
    uv: np.ndarray | None = None


def merged(layers: list[Layer]) -> list[Layer]:
    """The textured layers as they are, and all painted ones merged into one."""
    painted = [x for x in layers if x.colour is not None]
    starts = np.cumsum([0] + [len(x.rest) for x in painted])
    faces = [x.faces + start for x, start in zip(painted, starts, strict=False)]
    whole = Layer(
        np.concatenate([x.rest for x in painted]),
        sparse.vstack([x.weights for x in painted]).tocsr(),
        np.concatenate(faces),
        np.concatenate([x.colour for x in painted if x.colour is not None]),
    )
    return [x for x in layers if x.colour is None] + [whole]


def garment_fields(f: Fields, person: Identity, garment: Garment) -> list[np.ndarray]:
    """The fields that are all positive on the garment."""
    waist = 0.14
    if not person.tucked:  # just above the hem of the top, so that nothing shows through
        waist = next((g.hem for g in person.garments if g.kind == "top"), waist) + 0.035
    if garment.kind == "trousers":
        return f.trousers(min(waist, 0.14), garment.hem)
    if garment.kind == "skirt":
        return [f.z - garment.hem, min(waist, 0.3) - f.z]
    hem = 0.11 if person.tucked and garment.kind == "top" else garment.hem
    fields = f.shirt(hem, garment.sleeve, *garment.neck)
    if garment.kind == "jacket":
        fields.append(np.where(f.y < 0.0, np.abs(f.x) - 0.05 - 0.03 * (0.5 - f.z), 0.1))
    return fields


def _ease(person: Identity, garment: Garment, place: np.ndarray) -> np.ndarray:
    """(N,) metres between the garment and the body, with wrinkles; `place` is on the template."""
    least = {"top": 0.008, "jacket": 0.022, "trousers": 0.004, "skirt": 0.004}[garment.kind]
    if person.tucked:
        least = {"top": 0.002, "trousers": 0.010, "skirt": 0.010}.get(garment.kind, least)
    waves = wardrobe.wrinkles(place, [person.seed, person.number, len(garment.kind)])
    ease = least + (0.001 if garment.kind == "jacket" else 0.002) * waves * (0.3 + garment.loose)
    if garment.kind in ("top", "jacket") and not (person.tucked and garment.kind == "top"):
        ease = ease + 0.012 * np.clip((garment.hem + 0.10 - place[:, 2]) / 0.10, 0, 1)
    return ease


HAIR_DEPTH = {"crop": 0.006, "short": 0.016, "shaved": 0.002, "afro": 0.075, "curly": 0.035}
"""Hair style -> metres that the hair stands off the scalp."""


def tied_hair(style: str, scalp: np.ndarray) -> list[solids.Mesh]:
    """The knot or the tail of a hair style, on the points (N, 3) of a scalp."""
    top, back = scalp[:, 2].max(), scalp[:, 1].max()
    if style == "top knot":
        points, faces = solids.ball(0.045)
        return [(points + np.array([0, scalp[:, 1].mean() + 0.01, top + 0.03]), faces)]
    if style == "ponytail":
        points, faces = solids.tail(0.30, 0.032)
        return [(points + np.array([0, back + 0.012, top - 0.07]), faces)]
    return []


def seat(person: np.ndarray, joints: np.ndarray, yaw: float) -> tuple[Layer, np.ndarray]:
    """The box below a seated person, from points (N, 3) on the clothes and key points (18, 3)."""
    hips = joints[[8, 11]].mean(axis=0)
    near = np.linalg.norm(person[:, :2] - hips[:2], axis=1) < 0.12
    top, ground = person[near, 2].min(), person[:, 2].min()
    low, high = np.array([-0.24, -0.24, ground]), np.array([0.24, 0.16, top])
    points, faces = solids.box(low, high)
    points = points @ bodies.rotation((0, 0, 1), yaw).T + (hips[0], hips[1], 0)
    colour = np.broadcast_to(linear(SEAT), points.shape)
    return Layer(points, sparse.csr_matrix((len(points), 0)), faces, colour), points


def _whole(points: np.ndarray, faces: np.ndarray) -> Piece:
    """A mesh as a piece of itself, to be clipped."""
    return Piece(faces, sparse.identity(len(points), format="csr"))


class Dresser:
    """Builds the layers of a person on a body at rest, and keeps what does not depend on it."""

    def __init__(self, template: bodies.BodyTemplate) -> None:
        self.template = template
        self.fields = Fields.of(template)
        self.hat_line = wardrobe.hat_line(self.fields)
        self.count = len(template.vertices)
        groups = template.groups
        self.tights = wardrobe.subdivide(wardrobe.whole(groups["helper-tights"], self.count))
        self.skirt = wardrobe.subdivide(wardrobe.whole(groups["helper-skirt"], self.count))

    def dress(self, person: Identity, rest: np.ndarray, heads: np.ndarray) -> list[Layer]:
        """The layers of `person` on the body at rest, vertices (V, 3) and bone heads (B, 3)."""
        layers, covers = [], []
        for garment in person.garments:
            source = self.skirt if garment.kind == "skirt" else self.tights
            fields = garment_fields(self.fields.on(source), person, garment)
            layers.append(self.cloth(person, garment, source, fields, rest, heads))
            if garment.kind in ("top", "trousers"):
                covers.append(np.min(garment_fields(self.fields, person, garment), axis=0))
            elif garment.kind == "skirt":  # legs end above the hem, so they cannot pierce the cloth
                deep = self.fields.z - garment.hem - 5 * np.clip(self.fields.arm, 0, 1)
                covers.append(np.minimum(deep, 0.10 - self.fields.z))
        shoe = person.shoe_height - self.fields.z
        covers.append(shoe)
        layers.append(self.shoes(person, shoe, rest))
        layers += self.hair(person, rest)
        layers.append(self.skin(person, rest, np.max(covers, axis=0)))
        layers += self.eyes(person, rest)
        return merged(layers)

    def cloth(
        self,
        person: Identity,
        garment: Garment,
        source: Piece,
        fields: list[np.ndarray],
        rest: np.ndarray,
        heads: np.ndarray,
    ) -> Layer:
        """A garment: lifted off the body, wrinkled, cut out and coloured."""
        points = source.mix @ rest
        place = source.mix @ self.template.vertices
        arm = source.mix @ self.fields.arm
        points = wardrobe.relax(points, source.faces, 6)
        if garment.kind == "skirt":
            points = wardrobe.flare(points, place, garment.loose)
        elif garment.kind == "trousers":
            points = wardrobe.widen_legs(points, place, self.leg_axis(heads), garment.loose)
        else:
            points = wardrobe.drape(points, arm, garment.loose)
        points = points + normals(points, source.faces) * _ease(person, garment, place)[:, None]
        uv = wardrobe.cloth_coordinates(place, arm, source.mix @ self.fields.sleeve, garment.kind)
        weights = source.mix @ self.template.weights
        if garment.kind == "skirt":
            weights = wardrobe.share_legs(weights, place, self.template.bones)
        local = _whole(points, source.faces)
        for field in fields:
            local = wardrobe.clip(local, field)
        cut, weights = local.mix @ points, local.mix @ weights
        if garment.pattern in prints.PARTS:
            colour = prints.part_colours(garment, local.mix @ place, local.mix @ arm)
            return Layer(cut, weights, local.faces, colour)
        texture, uv = prints.pattern_tile(garment), local.mix @ uv / garment.scale
        if garment.figure:
            texture = prints.figure_tile(garment)
            uv = prints.chest_coordinates(local.mix @ place)
        return Layer(cut, weights, local.faces, texture=texture, uv=uv)

    def leg_axis(self, heads: np.ndarray) -> np.ndarray:
        """(3, 3) hip, knee and ankle of the left leg at rest."""
        bone = self.template.bone
        return heads[[bone("upperleg01.L"), bone("lowerleg01.L"), bone("foot.L")]]

    def layer(self, piece: Piece, points: np.ndarray, colour: ArrayLike) -> Layer:
        """A painted layer whose vertices are at `points` (N, 3)."""
        colour = np.broadcast_to(np.asarray(colour, float), points.shape)
        return Layer(points, piece.mix @ self.template.weights, piece.faces, colour)

    def shoes(self, person: Identity, shoe: np.ndarray, rest: np.ndarray) -> Layer:
        """Closed shoes: the feet of the tights, smoothed and thickened."""
        piece = wardrobe.clip(self.tights, shoe + 0.05)
        points = wardrobe.relax(piece.mix @ rest, piece.faces, 12)
        points = points + normals(points, piece.faces) * 0.006
        local = wardrobe.clip(_whole(points, piece.faces), piece.mix @ shoe)
        mixed = Piece(local.faces, local.mix @ piece.mix)
        points = local.mix @ points
        place = mixed.mix @ self.template.vertices
        sole = np.clip((place[:, 2:] + 0.812) / 0.004, 0, 1)
        colour = linear(PALETTE[person.shoes])
        colour = np.where(place[:, 2:] > person.shoe_line, linear(PALETTE[person.socks]), colour)
        return self.layer(mixed, points, colour * sole + linear(person.sole) * (1 - sole))

    def hair(self, person: Identity, rest: np.ndarray) -> list[Layer]:
        """A cap that grows from the scalp and, if the hair is long, strands behind the face."""
        f, colour = self.fields, linear(HAIR[person.hair])
        line = wardrobe.hairline(f, person.hair_style)
        cap = wardrobe.clip(wardrobe.whole(self.template.groups["body"], self.count), line)
        if person.hat:  # it hides what would come through
            cap = wardrobe.clip(cap, 0.008 - self.hat_line)
        thick = HAIR_DEPTH.get(person.hair_style, 0.014)
        depth = np.clip((cap.mix @ line) / 0.03, 0, 1) * thick + 0.001
        points = cap.mix @ rest
        waves = wardrobe.wrinkles(points * 2.2, [person.seed, person.number, 5])
        points = wardrobe.relax(points, cap.faces, 5)
        points = points + normals(points, cap.faces) * (depth * (1 + 0.12 * waves))[:, None]
        shade = colour * (1 + 0.10 * waves[:, None])
        layers = [self.layer(cap, points, shade)]
        if person.hair_style in ("long", "bob"):
            strands = wardrobe.whole(self.template.groups["helper-hair"], self.count)
            strands = wardrobe.subdivide(strands)
            cuts = [f.y - wardrobe.curtain(f), f.z - person.hair_length]
            for field in cuts + [-self.hat_line] * bool(person.hat):
                strands = wardrobe.clip(strands, field)
            points = strands.mix @ rest
            waves = wardrobe.wrinkles(points * (3, 3, 0.3), [person.seed, person.number, 6])
            shade = colour * (1 + 0.15 * waves[:, None])
            inner = points * (0.9, 1, 1) + (0, 0.012, 0)  # fills the gaps between the strands
            layers += [self.layer(strands, p, shade) for p in (points, inner)]
        layers += [
            self.on_head(solid, colour) for solid in tied_hair(person.hair_style, cap.mix @ rest)
        ]
        return layers + (self.hat(person, rest) if person.hat else [])

    def on_head(self, solid: solids.Mesh, colour: np.ndarray) -> Layer:
        """A painted solid that moves with the head."""
        points, faces = solid
        one, count = np.ones(len(points)), len(self.template.bones)
        head = np.full(len(points), self.template.bone("head"))
        weights = sparse.csr_matrix((one, (np.arange(len(points)), head)), (len(points), count))
        return Layer(points, weights, faces, np.broadcast_to(colour, points.shape))

    def hat(self, person: Identity, rest: np.ndarray) -> list[Layer]:
        """A beanie, a cap or a hat with a brim: the scalp, thickened, and a ring around it."""
        edge, colour = self.hat_line + 0.012, linear(PALETTE[person.hat_colour])  # over the hair
        crown = wardrobe.clip(wardrobe.whole(self.template.groups["body"], self.count), edge)
        above = np.clip(crown.mix @ edge, 0, None)[:, None]
        points = wardrobe.relax(crown.mix @ rest, crown.faces, 20)
        points = points + normals(points, crown.faces) * 0.026
        if person.hat == "beanie":
            colour = colour * (1 - 0.15 * (above < 0.035))
        else:
            points = points + (0, 0, 0.3) * above
        layers = [self.layer(crown, points, colour)]
        if person.hat != "beanie":
            rim = points[above[:, 0] < 0.004]
            low, high = rim.min(axis=0), rim.max(axis=0)
            inner = ((high[0] - low[0]) / 2 - 0.004, (high[1] - low[1]) / 2 - 0.004)
            ring, faces = solids.brim(inner, 0.075, person.hat == "cap")
            slope = (low[2] - high[2]) / (high[1] - low[1])
            ring = ring + (low + high) / 2 + (0, 0, 1) * (ring[:, 1:2] * slope)
            layers.append(self.on_head((ring, faces), colour * 0.9))
        return layers

    def skin(self, person: Identity, rest: np.ndarray, cover: np.ndarray) -> Layer:
        """The body where no garment hides it, painted with lips, brows, nails and beard."""
        faces = self.template.groups["body"]
        hidden = cover > wardrobe.HIDE_MARGIN
        piece = wardrobe.whole(faces[~hidden[faces].all(axis=1)], self.count)
        colour = wardrobe.skin_paint(self.template, person, linear(HAIR[person.hair]))
        return self.layer(piece, piece.mix @ rest, (piece.mix @ colour).clip(0, 1))

    def eyes(self, person: Identity, rest: np.ndarray) -> list[Layer]:
        """Both eyeballs with iris and pupil."""
        layers = []
        for side in ("l", "r"):
            ball = wardrobe.whole(self.template.groups[f"helper-{side}-eye"], self.count)
            ball = wardrobe.subdivide(ball)
            place = ball.mix @ self.template.vertices
            middle = (place.min(axis=0) + place.max(axis=0)) / 2
            radius = np.linalg.norm((place - middle)[:, [0, 2]], axis=1)[:, None]
            front = place[:, 1:2] < middle[1]
            colour = np.where(front & (radius < 0.0068), linear(person.eyes), 0.75)
            colour = np.where(front & (radius < 0.003), 0.01, colour)
            layers.append(self.layer(ball, ball.mix @ rest, colour))
        return layers

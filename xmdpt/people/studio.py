"""The studio: dresses a body, and photographs it on white with Mitsuba 3 on the CPU."""

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from xmdpt.people import bodies, wardrobe
from xmdpt.people.looks import HAIR, PALETTE, Garment, Identity, View
from xmdpt.people.wardrobe import Fields, Piece, linear, normals

ASPECT = 11 / 16
DISTANCE = 7.0  # metres from the camera to the person


@cache
def _mitsuba() -> ModuleType:
    import mitsuba  # a second, needed only to render

    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


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


def pattern_tile(garment: Garment) -> np.ndarray:
    """(64, 64, 3) linear colours of the garment's cloth, one period in each direction."""
    first, second = (linear(PALETTE[name]) for name in garment.colours)
    v, u = (np.indices((64, 64)) + 0.5) / 64
    if garment.pattern == "horizontal stripes":
        mask = (v < 0.42).astype(float)
    elif garment.pattern == "vertical stripes":
        mask = (np.abs(u - 0.5) < 0.17).astype(float)
    elif garment.pattern == "checks":
        mask = ((u < 0.45).astype(float) + (v < 0.45)) / 2
    elif garment.pattern == "dots":
        mask = ((u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.065).astype(float)
    else:
        mask = np.zeros((64, 64))
    tile: np.ndarray = first + (second - first) * mask[:, :, None]
    return tile


def block_colours(garment: Garment, place: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of a garment of two blocks; `place` (N, 3) is on the template."""
    split = -0.3 if garment.kind == "trousers" else 0.28
    first, second = (linear(PALETTE[name]) for name in garment.colours)
    return np.where(place[:, 2:] > split, second, first)


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


def _whole(points: np.ndarray, faces: np.ndarray) -> Piece:
    """A mesh as a piece of itself, to be clipped."""
    return Piece(faces, sparse.identity(len(points), format="csr"))


class Dresser:
    """Builds the layers of a person on a body at rest, and keeps what does not depend on it."""

    def __init__(self, template: bodies.BodyTemplate) -> None:
        self.template = template
        self.fields = Fields.of(template)
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
        if garment.pattern == "blocks":
            colour = block_colours(garment, local.mix @ place)
            return Layer(cut, weights, local.faces, colour)
        texture, uv = pattern_tile(garment), local.mix @ uv / garment.scale
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
        return self.layer(mixed, points, colour * sole + linear((0.85, 0.84, 0.8)) * (1 - sole))

    def hair(self, person: Identity, rest: np.ndarray) -> list[Layer]:
        """A cap that grows from the scalp and, if the hair is long, strands behind the face."""
        f, colour = self.fields, linear(HAIR[person.hair])
        line = wardrobe.hairline(f, person.hair_style)
        cap = wardrobe.clip(wardrobe.whole(self.template.groups["body"], self.count), line)
        thick = {"crop": 0.006, "short": 0.016}.get(person.hair_style, 0.014)
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
            for field in (f.y - wardrobe.curtain(f), f.z - person.hair_length):
                strands = wardrobe.clip(strands, field)
            points = strands.mix @ rest
            waves = wardrobe.wrinkles(points * (3, 3, 0.3), [person.seed, person.number, 6])
            shade = colour * (1 + 0.15 * waves[:, None])
            inner = points * (0.9, 1, 1) + (0, 0.012, 0)  # fills the gaps between the strands
            layers += [self.layer(strands, p, shade) for p in (points, inner)]
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


def _mesh(mi: ModuleType, layer: Layer, points: np.ndarray) -> Any:
    """Mitsuba's mesh of a layer at `points` (N, 3)."""
    paint: dict[str, Any] = {"type": "mesh_attribute", "name": "vertex_color"}
    if layer.texture is not None:
        bitmap = mi.Bitmap(layer.texture.astype(np.float32))
        paint = {"type": "bitmap", "bitmap": bitmap, "raw": True}
    props = mi.Properties()
    bsdf = {"type": "twosided", "inner": {"type": "diffuse", "reflectance": paint}}
    props["bsdf"] = mi.load_dict(bsdf)
    mesh = mi.Mesh(
        "layer",
        len(points),
        len(layer.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=layer.texture is not None,
        props=props,
    )
    if layer.texture is None:
        colour = np.ascontiguousarray(layer.colour, np.float32).ravel()
        mesh.add_attribute("vertex_color", 3, colour)
    values = mi.traverse(mesh)
    values["faces"] = layer.faces.astype(np.uint32).ravel()
    values["vertex_positions"] = points.astype(np.float32).ravel()
    values["vertex_normals"] = normals(points, layer.faces).astype(np.float32).ravel()
    if layer.uv is not None:
        values["vertex_texcoords"] = layer.uv.astype(np.float32).ravel()
    values.update()
    return mesh


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along +y at (x, z); its frame is `height` metres high there."""

    x: float
    z: float
    height: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) -> positions in the frame (N, 2), x and y from 0 to 1."""
        scale = DISTANCE / (DISTANCE + points[:, 1])
        across = (points[:, 0] - self.x) * scale / (self.height * ASPECT) + 0.5
        return np.stack([across, 0.5 - (points[:, 2] - self.z) * scale / self.height], axis=1)


def frame(points: np.ndarray, look: View, knee: float) -> Camera:
    """The camera that frames all `points` (N, 3), or in a crop those above the height `knee`."""
    scale = DISTANCE / (DISTANCE + points[:, 1])
    low, high = points.min(axis=0), points.max(axis=0)
    bottom = knee if look.crop else low[2]
    height = (high[2] - bottom) / (1 - look.top - (0 if look.crop else look.bottom))
    x = float((points[:, 0] * scale).min() + (points[:, 0] * scale).max()) / 2
    width = float(np.abs(points[:, 0] * scale - x).max()) * 2 / 0.95
    height = max(height, width / ASPECT) * 1.01
    z = high[2] + look.top * height - height / 2
    return Camera(x, float(z), float(height))


def photograph(
    layers: list[tuple[Layer, np.ndarray]],
    camera: Camera,
    size: tuple[int, int],
    samples: int,
    seed: int,
) -> np.ndarray:
    """uint8 picture (H, W, 3) of posed layers on white; `size` is (H, W)."""
    mi = _mitsuba()
    height, width = size
    angle = float(np.rad2deg(2 * np.arctan(camera.height / 2 / DISTANCE)))
    pose = mi.ScalarTransform4f().look_at(
        [camera.x, -DISTANCE, camera.z], [camera.x, 0, camera.z], [0, 0, 1]
    )
    film = {"type": "hdrfilm", "width": width, "height": height, "pixel_format": "rgba"}
    film |= {"rfilter": {"type": "gaussian"}}
    sampler = {"type": "independent", "sample_count": samples, "seed": seed % 2**31}
    scene = {
        "type": "scene",
        "integrator": {"type": "direct", "hide_emitters": True},
        "sensor": {"type": "perspective", "fov": angle, "fov_axis": "y", "to_world": pose}
        | {"film": film, "sampler": sampler},
        # Weight 0: only scattered rays see the sky, and only light sampling sees the key light, so
        # there is no noise from choosing between the two.
        "sky": {"type": "constant", "radiance": 0.62, "sampling_weight": 0.0},
        "key": {"type": "directional", "direction": [0.5, 1, -0.8], "irradiance": 1.25},
    }
    scene |= {f"layer{i}": _mesh(mi, *item) for i, item in enumerate(layers)}
    image = np.array(mi.render(mi.load_dict(scene), spp=samples, seed=seed % 2**31))
    light = np.clip(image[:, :, :3] + 1 - np.clip(image[:, :, 3:4], 0, 1), 0, 1)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    picture: np.ndarray = np.round(coded * 255).astype(np.uint8)
    return picture

"""The studio: puts a posed person under lamps and takes the picture with Mitsuba 3 on the CPU."""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from xmdpt.people.backdrop import Backdrop
from xmdpt.people.bodies import Direction
from xmdpt.people.cameras import Camera
from xmdpt.people.dresser import Layer
from xmdpt.people.looks import Colour
from xmdpt.people.wardrobe import normals
from xmdpt.people.worlds import Light

LAMPS = 7  # directions that stand for a lamp with a size
Posed = list[tuple[Layer, np.ndarray]]
"""Surfaces and where their points (N, 3) are in a pose."""


@cache
def _mitsuba() -> ModuleType:
    import mitsuba  # a second, needed only to render

    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


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


def _lamps(light: Light) -> list[tuple[Direction, Colour]]:
    """Directions that stand for the lamp, each with its share of the irradiance."""
    if not light.spread:
        return [(light.direction, light.key)]
    middle = np.array(light.direction)
    side = np.cross(middle, (0.0, 0.0, 1.0))
    side /= np.linalg.norm(side)
    radius, lamps = np.tan(np.deg2rad(light.spread)), []
    red, green, blue = (value / LAMPS for value in light.key)
    for number in range(LAMPS):
        turn, out = 2.4 * number, radius * np.sqrt((number + 0.5) / LAMPS)  # a sunflower's seeds
        x, y, z = middle + out * (np.cos(turn) * side + np.sin(turn) * np.cross(side, middle))
        lamps.append(((float(x), float(y), float(z)), (red, green, blue)))
    return lamps


def _emitted(colour: Colour) -> Any:
    """Mitsuba's spectrum of a colour."""
    return colour[0] if len(set(colour)) == 1 else {"type": "rgb", "value": list(colour)}


def _render(
    posed: Posed, camera: Camera, size: tuple[int, int], light: Light, samples: int, seed: int
) -> np.ndarray:
    """(H, W, 4) linear colours in front of nothing, and how much of a pixel is covered."""
    mi = _mitsuba()
    height, width = size
    angle = float(np.rad2deg(2 * np.arctan(camera.height / 2 / camera.distance)))
    eye, up = camera.eye.tolist(), camera.axes[2].tolist()
    pose = mi.ScalarTransform4f().look_at(eye, list(camera.centre), up)
    film = {"type": "hdrfilm", "width": width, "height": height, "pixel_format": "rgba"}
    film |= {"rfilter": {"type": "gaussian"}}
    sampler = {"type": "independent", "sample_count": samples, "seed": seed % 2**31}
    scene = {
        "type": "scene",
        "integrator": {"type": "direct", "hide_emitters": True},
        "sensor": {"type": "perspective", "fov": angle, "fov_axis": "y", "to_world": pose}
        | {"film": film, "sampler": sampler},
        # Weight 0: only scattered rays see the sky, and only light sampling sees the lamps, so
        # there is no noise from choosing between the two.
        "sky": {"type": "constant", "radiance": _emitted(light.sky), "sampling_weight": 0.0},
    }
    for number, (direction, key) in enumerate(_lamps(light)):
        lamp = {"type": "directional", "direction": list(direction), "irradiance": _emitted(key)}
        scene[f"key{number}"] = lamp
    scene |= {f"layer{i}": _mesh(mi, *item) for i, item in enumerate(posed)}
    return np.array(mi.render(mi.load_dict(scene), spp=samples, seed=seed % 2**31))


def photograph(
    person: Posed,
    things: Posed,
    camera: Camera,
    light: Light,
    backdrop: Backdrop | None,
    size: tuple[int, int],
    samples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) of a person and of things, before a backdrop or on white; `size` is (H, W).

    Returns the silhouette of the person alone, (H, W), too; both are uint8.
    """
    image = _render([*person, *things], camera, size, light, samples, seed)
    cover = np.clip(image[:, :, 3:4], 0, 1)
    behind: Any = 1
    if backdrop is not None:
        points = np.concatenate([points for _, points in (*person, *things)])
        behind = backdrop.behind(camera, size, points)
    glow = np.clip(image[:, :, :3] + behind - behind * cover, 0, 1)
    coded = np.where(glow <= 0.0031308, glow * 12.92, 1.055 * glow ** (1 / 2.4) - 0.055)
    if things:
        cover = np.clip(_render(person, camera, size, light, samples, seed)[:, :, 3:4], 0, 1)
    picture, silhouette = (np.round(part * 255).astype(np.uint8) for part in (coded, cover))
    return picture, silhouette[:, :, 0]

"""Bodies of rendered people: rest shapes by Anny, linear blend skinning, and key points.

Coordinates are metres in the person's own frame: x to the person's left, y backwards, z up.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import sparse

from xmdpt.data.layouts import COCO17
from xmdpt.support.place import own_cache

if TYPE_CHECKING:  # seconds of imports, needed only to render
    import anny

Direction = tuple[float, float, float]
Shape = tuple[np.ndarray, np.ndarray]
"""A body at rest: vertices (V, 3) and bone heads (B, 3)."""

COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
    *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
]
HIDEABLE = (0, 14, 15, 16, 17)  # nose, eyes and ears: missing when they face away
FACE_NORMALS = np.array(  # the directions in which these five face at rest
    [[0, -1, 0.0], [-0.35, -0.94, 0], [0.35, -0.94, 0], [-1, -0.02, 0], [1, -0.02, 0]]
)


@dataclass(frozen=True)
class BodyTemplate:
    """What all bodies share: topology, skinning weights and landmarks.

    vertices (V, 3) float32 template positions; weights (V, B) sparse skinning weights;
    parents (B,) bone tree, parents first; coco (17, V) sparse key point regressor;
    groups: name -> (F, 3) triangles (`body`, `helper-tights`, `helper-skirt`, `helper-hair`, ...);
    heads (B, 3) template bone heads; paint_masks: name -> (V,) in [0, 1].
    """

    vertices: np.ndarray
    weights: sparse.csr_matrix
    bones: tuple[str, ...]
    parents: np.ndarray
    coco: sparse.csr_matrix
    groups: dict[str, np.ndarray]
    heads: np.ndarray
    paint_masks: dict[str, np.ndarray]

    def bone(self, name: str) -> int:
        """Index of the bone `name`."""
        return self.bones.index(name)

    def influence(self, *prefixes: str) -> np.ndarray:
        """(V,) total weight of the bones whose names start with one of `prefixes`."""
        chosen = [i for i, name in enumerate(self.bones) if name.startswith(prefixes)]
        return np.asarray(self.weights[:, chosen].sum(axis=1)).ravel()


@cache
def _anny_model() -> "anny.Anny":
    """The Anny model with helper geometry; it caches what it builds in the user's cache folder."""
    import anny
    from anny.paths import set_anny_cache_path

    if "ANNY_CACHE_DIR" not in os.environ:
        set_anny_cache_path(own_cache() / "anny")
    return anny.Anny(
        topology="makehuman-full",
        phenotypes="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",
    )


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _read_base_mesh(
    root: Path, vertices: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Triangles of every group of the base mesh, and paint masks (V,) at its `vertices`."""
    groups: dict[str, list[list[int]]] = {}
    texture: list[tuple[float, float]] = []
    corner: dict[int, int] = {}  # vertex -> its texture coordinates
    name = ""
    for line in (root / "data/mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "g":
            name = rest[0]
        elif kind == "vt":
            texture.append((float(rest[0]), float(rest[1])))
        elif kind == "f" and not name.startswith("joint"):
            face = [[int(k) - 1 for k in item.split("/")[:2]] for item in rest]
            groups.setdefault(name, []).append([v for v, _ in face])
            if name == "body":
                corner.update((v, t) for v, t in face)
    vertex, uv = np.array(list(corner)), np.array([texture[t] for t in corner.values()])
    masks = {}
    for part in ("lips", "eyelids", "fingernails"):
        image = Image.open(root / f"data/mpfb2/textures/mpfb_{part}.jpg").convert("L")
        pixels = np.asarray(image.resize((1024, 1024)), np.float32) / 255
        rows = ((1 - uv[:, 1]) * 1023).astype(int).clip(0, 1023)
        columns = (uv[:, 0] * 1023).astype(int).clip(0, 1023)
        masks[part] = np.zeros(vertices, np.float32)
        masks[part][vertex] = pixels[rows, columns]
    return {k: _triangles(np.array(v)) for k, v in groups.items()}, masks


@cache
def load_template() -> BodyTemplate:
    """Build the shared template from Anny; the first time on a machine, that takes a minute."""
    from anny.keypoints import KeypointsRegressor
    from anny.paths import get_anny_root_dir

    model = _anny_model()
    vertices = model.template_vertices.numpy()
    groups, masks = _read_base_mesh(get_anny_root_dir(), len(vertices))
    indices = model.vertex_bone_indices.numpy()
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])
    weights = sparse.csr_matrix(
        (model.vertex_bone_weights.numpy().ravel(), (rows, indices.ravel())),
        shape=(len(indices), len(model.bone_labels)),
    )
    regressor = KeypointsRegressor.coco(model, labels=COCO).regression_weights.numpy()
    return BodyTemplate(
        vertices=vertices,
        weights=weights,
        bones=tuple(model.bone_labels),
        parents=np.array(model.bone_parents),
        coco=sparse.csr_matrix(regressor),
        groups=groups,
        heads=model.template_bone_heads.numpy(),
        paint_masks=masks,
    )


def rest_shapes(phenotypes: list[dict[str, float]]) -> list[Shape]:
    """Bodies at rest, given by Anny's phenotype values in [0, 1]."""
    import torch

    model = _anny_model()
    names = model.phenotype_labels
    with torch.no_grad():
        values = {n: torch.tensor([p[n] for p in phenotypes], dtype=model.dtype) for n in names}
        weights = model.get_phenotype_blendshape_coefficients(**values)
        rest = model.get_rest_model(weights)
    return list(zip(rest["rest_vertices"].numpy(), rest["rest_bone_heads"].numpy(), strict=True))


def rotation(axis: Direction, degrees: float) -> np.ndarray:
    """(3, 3) right-handed rotation about `axis` by `degrees`."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    turned: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turned


def align(source: np.ndarray, target: np.ndarray, share: float = 1.0) -> np.ndarray:
    """(3, 3) smallest rotation from direction `source` to `target`, or a share of it."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    axis = np.cross(a, b)
    if np.linalg.norm(axis) < 1e-9:
        return np.eye(3)
    angle = np.rad2deg(np.arctan2(np.linalg.norm(axis), a @ b))
    x, y, z = axis
    return rotation((x, y, z), angle * share)


@dataclass(frozen=True)
class Pose:
    """Directions of limbs in the person's frame, with x outwards, and turns in degrees.

    arms and legs: (left upper, left lower, right upper, right lower); spine: bend (forward, left)
    and turn; head: (nod, tilt, turn); toes: outward turn of the feet; seated: on a box.
    """

    arms: tuple[Direction, ...]
    legs: tuple[Direction, ...]
    spine: Direction
    head: Direction
    toes: float
    seated: bool = False


def _euler(angles: Direction, share: float) -> np.ndarray:
    x, y, z = (share * angle for angle in angles)
    turned: np.ndarray = rotation((0, 0, 1), z) @ rotation((0, 1, 0), y) @ rotation((1, 0, 0), x)
    return turned


AIMED = {  # a bone -> the ends of what it aims, and the direction that it aims it in
    "shoulder01": ("upperarm01", "lowerarm01", "arms", 0),
    "upperarm01": ("upperarm01", "lowerarm01", "arms", 0),
    "lowerarm01": ("lowerarm01", "wrist", "arms", 1),
    "upperleg01": ("upperleg01", "lowerleg01", "legs", 0),
    "lowerleg01": ("lowerleg01", "foot", "legs", 1),
}


def bone_rotations(template: BodyTemplate, heads: np.ndarray, pose: Pose) -> np.ndarray:
    """(B, 3, 3) world rotations of the bones that realise `pose`; at rest they are identities."""
    local = {f"spine0{k}": _euler(pose.spine, 0.25) for k in (4, 3, 2, 1)}
    local |= {name: _euler(pose.head, 0.25) for name in ("neck01", "neck02", "neck03", "head")}
    out = np.empty((len(heads), 3, 3))
    at = {name: heads[i] for i, name in enumerate(template.bones)}

    for i, name in enumerate(template.bones):
        parent = out[template.parents[i]] if i else np.eye(3)
        stem, _, side = name.partition(".")
        outwards, first = (1, 0) if side == "L" else (-1, 2)
        if stem in AIMED:
            base, tip, limb, segment = AIMED[stem]
            frame = np.eye(3)
            if limb == "arms":  # arms follow the chest, legs do not
                frame = parent if stem == "shoulder01" else out[template.bone("spine01")]
            directions = pose.arms if limb == "arms" else pose.legs
            goal = frame @ (np.array(directions[first + segment]) * (outwards, 1, 1))
            now = parent @ (at[f"{tip}.{side}"] - at[f"{base}.{side}"])
            out[i] = align(now, goal, 0.18 if stem == "shoulder01" else 1.0) @ parent
        elif stem == "foot":
            lift = max(0.0, pose.legs[first + 1][1]) * 55  # a shin that points back lifts the heel
            turn = rotation((0, 0, 1), outwards * pose.toes)
            out[i] = turn @ rotation((1, 0, 0), lift)
        else:
            out[i] = parent @ local.get(name, np.eye(3))
    return out


def skin_transforms(
    template: BodyTemplate, heads: np.ndarray, rotations: np.ndarray, yaw: float
) -> np.ndarray:
    """(B, 3, 4) transforms of points at rest; the whole person turns by `yaw` degrees about z."""
    places = np.empty_like(heads)
    for i, parent in enumerate(template.parents):
        if i == 0:
            places[i] = heads[i]
        else:
            places[i] = places[parent] + rotations[parent] @ (heads[i] - heads[parent])
    shift = places - np.einsum("bij,bj->bi", rotations, heads)
    transforms = np.concatenate([rotations, shift[:, :, None]], axis=2)
    turned: np.ndarray = rotation((0, 0, 1), yaw) @ transforms
    return turned


def skin(weights: sparse.csr_matrix, transforms: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear blend skinning of `points` (N, 3) with `weights` (N, B); returns (N, 3)."""
    blended = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
    moved: np.ndarray = np.einsum("nij,nj->ni", blended[:, :, :3], points) + blended[:, :, 3]
    return moved


def key_points(template: BodyTemplate, vertices: np.ndarray) -> np.ndarray:
    """(18, 3) OpenPose key points of vertices (V, 3); the neck is the middle of the shoulders."""
    coco = template.coco @ vertices
    neck = (coco[5] + coco[6]) / 2
    return np.stack([neck if i is None else coco[i] for i in COCO17])


def face_visible(head_rotation: np.ndarray, view: np.ndarray) -> np.ndarray:
    """(5,) whether nose, right eye, left eye, right ear, left ear (`HIDEABLE`) face the camera.

    head_rotation (3, 3) world rotation of the head; view (3,) direction from person to camera.
    """
    cosines: np.ndarray = (FACE_NORMALS @ head_rotation.T) @ view
    return cosines > np.array([-0.15, -0.05, -0.05, -0.2, -0.2])

"""Bodies of rendered people: rest shapes from Anny, posing by linear blend skinning, key points.

Axes are metres in the person's own frame: x to the person's left, y backwards, z up.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

from xmdpt.data.keypoints import COCO17

COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
    *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
]
HIDEABLE = (0, 14, 15, 16, 17)  # nose, eyes and ears: missing when the head turns them away
FACE_NORMALS = np.array(  # outward directions of the five in the head's rest frame
    [[0, -1, 0.0], [-0.35, -0.94, 0], [0.35, -0.94, 0], [-1, -0.02, 0], [1, -0.02, 0]]
)


@dataclass(frozen=True)
class BodyTemplate:
    """What all bodies share: topology, skinning and the landmarks of the template.

    vertices (V, 3) float32 template positions; weights (V, B) sparse skinning weights;
    parents (B,) bone tree, parents first; coco (17, V) sparse key point regressor;
    groups: name -> (F, 3) triangles (`body`, `helper-tights`, `helper-skirt`, `helper-hair`, ...);
    heads (B, 3) template bone heads; uv_masks: name -> (V,) paint masks in [0, 1].
    """

    vertices: np.ndarray
    weights: sparse.csr_matrix
    bones: tuple[str, ...]
    parents: np.ndarray
    coco: sparse.csr_matrix
    groups: dict[str, np.ndarray]
    heads: np.ndarray
    uv_masks: dict[str, np.ndarray]

    def bone(self, name: str) -> int:
        """Index of the bone `name`."""
        return self.bones.index(name)

    def influence(self, *prefixes: str) -> np.ndarray:
        """(V,) summed weight of the bones whose names start with one of `prefixes`."""
        chosen = [i for i, name in enumerate(self.bones) if name.startswith(prefixes)]
        return np.asarray(self.weights[:, chosen].sum(axis=1)).ravel()


@lru_cache(maxsize=1)
def _anny_model():
    """The Anny model with helper geometry, its built data cached in the user's cache folder."""
    import anny
    from anny.paths import set_anny_cache_path

    if "ANNY_CACHE_DIR" not in os.environ:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        set_anny_cache_path(base / "xmdpt" / "anny")
    return anny.Anny(
        topology="makehuman-full",
        phenotypes="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",
    )


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _read_base_mesh(root: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Triangles of every group of the base mesh, and paint masks sampled at the vertices."""
    from PIL import Image

    groups: dict[str, list] = {}
    texture, corner = [], {}
    name = ""
    for line in (root / "data/mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "g":
            name = rest[0]
        elif kind == "vt":
            texture.append((float(rest[0]), float(rest[1])))
        elif kind == "f" and not name.startswith("joint"):
            face = [tuple(int(k) - 1 for k in item.split("/")[:2]) for item in rest]
            groups.setdefault(name, []).append([v for v, _ in face])
            if name == "body":
                corner.update(dict(face))
    vertex, uv = np.array(list(corner)), np.array([texture[t] for t in corner.values()])
    masks = {}
    for part in ("lips", "eyelids", "fingernails"):
        image = Image.open(root / f"data/mpfb2/textures/mpfb_{part}.jpg").convert("L")
        pixels = np.asarray(image.resize((1024, 1024)), np.float32) / 255
        rows = ((1 - uv[:, 1]) * 1023).astype(int).clip(0, 1023)
        columns = (uv[:, 0] * 1023).astype(int).clip(0, 1023)
        masks[part] = np.zeros(19158, np.float32)
        masks[part][vertex] = pixels[rows, columns]
    return {k: _triangles(np.array(v)) for k, v in groups.items()}, masks


@lru_cache(maxsize=1)
def load_template() -> BodyTemplate:
    """Build the shared template from Anny (the first build on a machine takes a minute)."""
    from anny.keypoints import KeypointsRegressor
    from anny.paths import get_anny_root_dir

    model = _anny_model()
    groups, masks = _read_base_mesh(get_anny_root_dir())
    indices = model.vertex_bone_indices.numpy()
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])
    weights = sparse.csr_matrix(
        (model.vertex_bone_weights.numpy().ravel(), (rows, indices.ravel())),
        shape=(len(indices), len(model.bone_labels)),
    )
    regressor = KeypointsRegressor.coco(model, labels=COCO).regression_weights.numpy()
    return BodyTemplate(
        vertices=model.template_vertices.numpy(),
        weights=weights,
        bones=tuple(model.bone_labels),
        parents=np.array(model.bone_parents),
        coco=sparse.csr_matrix(regressor),
        groups=groups,
        heads=model.template_bone_heads.numpy(),
        uv_masks=masks,
    )


def rest_shapes(shapes: list[dict[str, float]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rest vertices (V, 3) and bone heads (B, 3) of bodies given by Anny phenotypes in [0, 1]."""
    import torch

    model = _anny_model()
    names = model.phenotype_labels
    with torch.no_grad():
        values = {n: torch.tensor([s[n] for s in shapes], dtype=model.dtype) for n in names}
        weights = model.get_phenotype_blendshape_coefficients(**values)
        rest = model.get_rest_model(weights)
    return list(zip(rest["rest_vertices"].numpy(), rest["rest_bone_heads"].numpy(), strict=True))


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """(3, 3) rotation about `axis` by `degrees`, right-handed."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def align(source: np.ndarray, target: np.ndarray, share: float = 1.0) -> np.ndarray:
    """(3, 3) smallest rotation that takes direction `source` to `target`, or a share of it."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    axis = np.cross(a, b)
    if np.linalg.norm(axis) < 1e-9:
        return np.eye(3)
    angle = np.rad2deg(np.arctan2(np.linalg.norm(axis), a @ b))
    return rotation(tuple(axis), angle * share)


@dataclass(frozen=True)
class Pose:
    """Directions of limbs (person's frame, x mirrored for the right side) and turns in degrees.

    arms and legs: (left upper, left lower, right upper, right lower) directions, x outwards;
    spine: bend (forward, left, turn); head: (nod, tilt, turn); toes: outward turn of the feet.
    """

    arms: tuple[tuple[float, float, float], ...]
    legs: tuple[tuple[float, float, float], ...]
    spine: tuple[float, float, float] = (0, 0, 0)
    head: tuple[float, float, float] = (0, 0, 0)
    toes: float = 8


def _euler(angles: tuple[float, float, float], share: float) -> np.ndarray:
    forward, left, turn = (share * a for a in angles)
    return rotation((0, 0, 1), turn) @ rotation((0, 1, 0), left) @ rotation((1, 0, 0), forward)


def bone_rotations(template: BodyTemplate, heads: np.ndarray, pose: Pose) -> np.ndarray:
    """(B, 3, 3) world rotations of the bones (identity at rest) that realise `pose`."""
    local = {f"spine0{k}": _euler(pose.spine, 0.25) for k in (4, 3, 2, 1)}
    local |= {name: _euler(pose.head, 0.25) for name in ("neck01", "neck02", "neck03", "head")}
    out = np.empty((len(heads), 3, 3))
    at = {name: heads[i] for i, name in enumerate(template.bones)}

    def limb(name: str, base: str, tip: str, goal, parent: np.ndarray, frame, share=1.0):
        side = name[-1]
        mirrored = np.array(goal) * (1 if side == "L" else -1, 1, 1)
        now = parent @ (at[f"{tip}.{side}"] - at[f"{base}.{side}"])
        return align(now, frame @ mirrored, share) @ parent

    for i, name in enumerate(template.bones):
        parent = out[template.parents[i]] if i else np.eye(3)
        arm = pose.arms[:2] if name.endswith("L") else pose.arms[2:]
        leg = pose.legs[:2] if name.endswith("L") else pose.legs[2:]
        stem = name.split(".")[0]
        if stem == "shoulder01":
            chest = parent
            out[i] = limb(name, "upperarm01", "lowerarm01", arm[0], parent, chest, 0.18)
        elif stem == "upperarm01":
            chest = out[template.bone("spine01")]
            out[i] = limb(name, "upperarm01", "lowerarm01", arm[0], parent, chest)
        elif stem == "lowerarm01":
            chest = out[template.bone("spine01")]
            out[i] = limb(name, "lowerarm01", "wrist", arm[1], parent, chest)
        elif stem == "upperleg01":
            out[i] = limb(name, "upperleg01", "lowerleg01", leg[0], parent, np.eye(3))
        elif stem == "lowerleg01":
            out[i] = limb(name, "lowerleg01", "foot", leg[1], parent, np.eye(3))
        elif stem == "foot":
            lift = max(0.0, leg[1][1]) * 55  # a shin that points back lifts the heel
            turn = rotation((0, 0, 1), pose.toes if name.endswith("L") else -pose.toes)
            out[i] = turn @ rotation((1, 0, 0), lift)
        else:
            out[i] = parent @ local.get(name, np.eye(3))
    return out


def skin_transforms(
    template: BodyTemplate, heads: np.ndarray, rotations: np.ndarray, yaw: float
) -> np.ndarray:
    """(B, 3, 4) transforms of rest points, the whole person turned by `yaw` degrees about z."""
    places = np.empty_like(heads)
    for i, parent in enumerate(template.parents):
        if i == 0:
            places[i] = heads[i]
        else:
            places[i] = places[parent] + rotations[parent] @ (heads[i] - heads[parent])
    shift = places - np.einsum("bij,bj->bi", rotations, heads)
    turned = rotation((0, 0, 1), yaw) @ np.concatenate([rotations, shift[:, :, None]], axis=2)
    return turned


def skin(weights: sparse.csr_matrix, transforms: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear blend skinning of `points` (N, 3) with `weights` (N, B); returns (N, 3)."""
    blended = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
    return np.einsum("nij,nj->ni", blended[:, :, :3], points) + blended[:, :, 3]


def key_points(template: BodyTemplate, vertices: np.ndarray) -> np.ndarray:
    """(18, 3) OpenPose key points of posed vertices (V, 3); the neck is between the shoulders."""
    coco = template.coco @ vertices
    neck = (coco[5] + coco[6]) / 2
    return np.stack([neck if i is None else coco[i] for i in COCO17])


def face_visible(head_rotation: np.ndarray, view: np.ndarray) -> np.ndarray:
    """(5,) whether nose, right eye, left eye, right ear, left ear face the camera.

    head_rotation (3, 3) world rotation of the head; view (3,) direction from person to camera.
    """
    return (FACE_NORMALS @ head_rotation.T) @ view > np.array([-0.15, -0.05, -0.05, -0.2, -0.2])

"""The people in the paper's figures: views of one person, strangers, photos; and their scores."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xmdpt.metrics.images import silhouette, silhouette_iou
from xmdpt.metrics.means import mean_scores
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.framing import squash, whole_frame
from xmdpt.photos.loading import load_photo
from xmdpt.support.pictures import to_signed

FIRST_STRANGER = 99_000_000
"""The number of the first stranger, beyond those of all profiles and of the bundled weights."""
STRANGERS: dict[str, dict[str, Any]] = {
    "as in training": {},
    "green skin": {"skin": (0.25, 0.55, 0.2)},
    "blue skin": {"skin": (0.2, 0.3, 0.7)},
    "giant dots": {"cloth": {"pattern": "dots", "scale": 0.3}},
    "billowing cut": {"cloth": {"loose": 2.5}},
    "grey wall": {"background": (150, 150, 150)},
    "green meadow": {"background": (110, 170, 90)},
}
"""Kind of stranger -> what it changes about a rendered person: skin, cloth of all garments (no
training person wears such large patterns or so wide a cut), or background."""


def stranger(seed: int, number: int, kind: str, size: int) -> np.ndarray:
    """A rendered person unlike any in training, uint8 (size, size, 3), squashed."""
    change = dict(STRANGERS[kind])
    background, cloth = change.pop("background", None), change.pop("cloth", {})
    person = replace(identity(seed, FIRST_STRANGER + number), **change)
    garments = tuple(replace(garment, **cloth) for garment in person.garments)
    picture, _ = render_person(replace(person, garments=garments), 0)
    if background is not None:
        picture = np.where(silhouette(picture)[..., None], picture, np.uint8(background))
    return squash(Image.fromarray(picture), size)


def photos(folder: str | Path, size: int) -> dict[str, np.ndarray]:
    """Name -> photo of a folder, padded to DeepFashion's aspect, uint8 (size, size, 3), squashed.

    Markdown and hidden files are left out. Raises PhotoError if another file cannot be read.
    """
    found = {}
    for path in sorted(Path(folder).glob("[!.]*")):
        if path.is_file() and path.suffix != ".md":
            photo = load_photo(path)
            found[path.name] = squash(whole_frame(photo.size).cut(photo), size)
    return found


def spread_of(pictures: Sequence[np.ndarray]) -> float:
    """Mean ST-LPIPS distance over all pairs of uint8 (S, S, 3) pictures; nan for one picture."""
    if len(pictures) < 2:
        return float("nan")
    signed, network = to_signed(np.stack(pictures)), STLPIPS()
    first, second = zip(*combinations(range(len(pictures)), 2), strict=True)
    return float(network(signed[list(first)], signed[list(second)]).mean())


def score_pictures(made: np.ndarray, truth: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean st_lpips, SSIM (PIDM's), PSNR and silhouette IoU of uint8 (N, S, S, 3) pictures."""
    overlaps = [silhouette_iou(a, b) for a, b in zip(made, truth, strict=True)]
    return mean_scores(made, truth) | {"silhouette_iou": float(np.mean(overlaps))}

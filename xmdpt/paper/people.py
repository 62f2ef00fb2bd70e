"""Whom the paper's figures show: views of one person, strangers, photos."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from xmdpt.data.pairs import mangle
from xmdpt.metrics.images import psnr, silhouette, silhouette_iou, ssim
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.framing import squash, whole_frame
from xmdpt.photos.loading import load_photo
from xmdpt.support.pictures import to_signed

FIRST_STRANGER = 8_000_000  # numbers that no profile renders
STRANGERS = {
    "as in training": {},
    "green skin": {"skin": (0.25, 0.55, 0.2)},
    "blue skin": {"skin": (0.2, 0.3, 0.7)},
    "giant dots": {"cloth": {"pattern": "dots", "scale": 0.3}},
    "billowing cut": {"cloth": {"loose": 2.5}},
    "grey wall": {"background": (150, 150, 150)},
    "green meadow": {"background": (110, 170, 90)},
}
"""What is changed of a rendered person, by the name of the kind: their skin, the cloth of all
garments (training knows no pattern of that size and no cut that wide), what is behind them."""


def stranger(seed: int, number: int, kind: str, size: int) -> np.ndarray:
    """A rendered person as no training picture shows one, uint8 (size, size, 3), squashed."""
    change = dict(STRANGERS[kind])
    background, cloth = change.pop("background", None), change.pop("cloth", {})
    person = replace(identity(seed, FIRST_STRANGER + number), **change)
    garments = tuple(replace(garment, **cloth) for garment in person.garments)
    picture, _ = render_person(replace(person, garments=garments), 0)
    if background is not None:
        picture = np.where(silhouette(picture)[..., None], picture, np.uint8(background))
    return squash(Image.fromarray(picture), size)


def photos(folder: str | Path, size: int) -> dict[str, np.ndarray]:
    """The photos in a folder by name, whole, at DeepFashion's aspect, uint8 (size, size, 3).

    Its README and hidden files are left out. Raises PhotoError where another cannot be read.
    """
    found = {}
    for path in sorted(Path(folder).glob("[!.]*")):
        if path.is_file() and path.suffix != ".md":
            photo = load_photo(path)
            found[path.name] = squash(whole_frame(photo.size).cut(photo), size)
    return found


def spread_of(pictures: Sequence[np.ndarray]) -> float:
    """Mean ST-LPIPS distance over all pairs of the pictures, uint8 (N, S, S, 3); nan of one."""
    if len(pictures) < 2:
        return float("nan")
    signed, network = to_signed(np.stack(pictures)), STLPIPS()
    first, second = zip(*combinations(range(len(pictures)), 2), strict=True)
    return float(network(signed[list(first)], signed[list(second)]).mean())


def score_pictures(made: np.ndarray, truth: Sequence[np.ndarray]) -> dict[str, float]:
    """Means of st_lpips, SSIM (PIDM's), PSNR and silhouette IoU of uint8 (N, S, S, 3) pictures."""
    distances = STLPIPS()(to_signed(made), to_signed(np.stack(truth)))
    pairs = list(zip(made, truth, strict=True))
    return {
        "st_lpips": float(distances.mean()),
        "ssim": float(np.mean([ssim(a, b, 1.2) for a, b in pairs])),
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
        "silhouette_iou": float(np.mean([silhouette_iou(a, b) for a, b in pairs])),
    }


def by_mangled(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """The pairs by the mangled names that tables of scores have."""
    return {(mangle(source), mangle(target)): (source, target) for source, target in pairs}

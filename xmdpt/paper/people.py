"""Whom the paper's figures show: views of one person, strangers, near duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from PIL import Image

from xmdpt.data.pairs import mangle
from xmdpt.data.synthetic import identity, render_person
from xmdpt.image_metrics import psnr, silhouette, silhouette_iou, ssim
from xmdpt.perceptual import STLPIPS
from xmdpt.pictures import to_signed

FIRST_STRANGER = 8_000_000  # numbers that no profile renders
STRANGERS = {
    "as in training": {},
    "green skin": {"skin": (0.25, 0.55, 0.2)},
    "blue skin": {"skin": (0.2, 0.3, 0.7)},
    "grey wall": {"background": (150, 150, 150)},
    "green meadow": {"background": (110, 170, 90)},
}
"""What is changed of a rendered person, by the name of the kind."""


def stranger(seed: int, number: int, kind: str, size: int) -> np.ndarray:
    """A rendered person as no training picture shows one, uint8 (size, size, 3), squashed."""
    change = dict(STRANGERS[kind])
    background = change.pop("background", None)
    picture, _ = render_person(replace(identity(seed, FIRST_STRANGER + number), **change), 0)
    if background is not None:
        picture = np.where(silhouette(picture)[..., None], picture, np.uint8(background))
    return np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))


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


def closest_across(
    train: Sequence[str], test: Sequence[str], thumbnails: Mapping[str, np.ndarray], count: int
) -> list[tuple[str, str]]:
    """The (training, test) pictures with the most similar thumbnails, each test picture once."""
    seen = np.stack([thumbnails[name] for name in train]).astype(np.float32).reshape(len(train), -1)
    best = []
    for name in test:
        gaps = np.abs(seen - thumbnails[name].astype(np.float32).ravel()).mean(axis=1)
        nearest = int(gaps.argmin())
        best.append((float(gaps[nearest]), train[nearest], name))
    return [(first, second) for _, first, second in sorted(best)[:count]]


def by_mangled(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """The pairs by the mangled names that tables of scores have."""
    return {(mangle(source), mangle(target)): (source, target) for source, target in pairs}

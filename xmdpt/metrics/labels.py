"""How metrics, baselines and limits are shown, wherever a table of them stands."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Metric(NamedTuple):
    """Heading, whether higher is better, decimals, and what it is."""

    label: str
    higher: bool
    decimals: int
    about: str


LABELS = ("result", "person", "source", "target")
"""Columns of a table of pairs that are no metrics, but text."""
TEXT = dict.fromkeys((*LABELS, "row"), str)
"""What pandas is to read as text in such a table: names may look like numbers."""

_DISTANCE = "Fréchet distance between the results and all training pictures"
_KERNEL = "Kernel distance (unbiased squared MMD, cubic kernel) between the same features"
_INFINITY = "extrapolated to infinitely many results: what is left without the small-sample bias"
_STAND_IN = "A stand-in: it is not {0}, and its values compare with no published {0}."

METRICS = {
    "st_lpips": Metric(
        "st_lpips",
        False,
        3,
        "ST-LPIPS (AlexNet), a perceptual distance that forgives small shifts. "
        + _STAND_IN.format("LPIPS"),
    ),
    "fd_effnet": Metric(
        "fd_effnet",
        False,
        1,
        f"{_DISTANCE}, in features of EfficientNet-Lite0. " + _STAND_IN.format("FID"),
    ),
    "fd_effnet_infinity": Metric("fd_effnet, no bias", False, 1, f"fd_effnet {_INFINITY}."),
    "kd_effnet": Metric("kd_effnet", False, 4, f"{_KERNEL}. " + _STAND_IN.format("KID")),
    "silhouette_iou": Metric(
        "silhouette IoU",
        True,
        3,
        "Overlap of the person's outline with the true one; tells whether the pose is followed.",
    ),
    "ssim": Metric("SSIM", True, 3, "Structural similarity to the true picture."),
    "ssim_win51": Metric(
        "SSIM, window 51", True, 3, "Structural similarity in uniform windows of 51x51 pixels."
    ),
    "psnr": Metric("PSNR (dB)", True, 2, "Peak signal-to-noise ratio against the true picture."),
    "ssim_pidm": Metric(
        "SSIM at 256", True, 3, "SSIM after bringing pictures to 256x256, by PIDM's rules."
    ),
    "psnr_pidm": Metric(
        "PSNR at 256", True, 2, "PSNR after bringing pictures to 256x256, by PIDM's rules."
    ),
    "lpips": Metric(
        "LPIPS", False, 3, "Learned perceptual distance (AlexNet) to the true picture."
    ),
    "lpips_squeeze": Metric(
        "LPIPS (squeeze)", False, 3, "The same on SqueezeNet, whose numbers are lower."
    ),
    "fid": Metric("FID", False, 2, f"{_DISTANCE}, in features of Inception."),
    "fid_infinity": Metric("FID, no bias", False, 2, f"FID {_INFINITY}."),
    "kid": Metric("KID", False, 5, f"{_KERNEL}; unlike FID it has no small-sample bias."),
    "clean_fid": Metric(
        "clean FID", False, 2, f"{_DISTANCE}, as clean-fid computes it: antialiased, float."
    ),
    "clean_fid_infinity": Metric("clean FID, no bias", False, 2, f"Clean FID {_INFINITY}."),
    "clean_kid": Metric(
        "clean KID", False, 5, f"{_KERNEL} as clean FID; it has no small-sample bias."
    ),
}
"""In the order of a table's columns."""

BASELINES = {
    "copy_source": "copy the source",
    "mean_picture": "mean training picture",
    "nearest_pose": "training picture in the nearest pose",
}
"""Answers without any learning: what a method must beat."""

LIMITS = {
    "reconstruction": "the true picture through the autoencoder",
    "truth": "the true pictures as a collection",
}
"""No answers, since they know the truth: what a method cannot be expected to beat."""


def comparable(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the rows of as many pairs as any method's: a mean over other pairs, and a Frechet
    distance of another number of pictures, is another number."""
    counts = {name: row.get("count", 0) for name, row in scores.items()}
    most = max((counts[name] for name in counts if name not in LIMITS), default=0)
    return [name for name in counts if counts[name] == most]


def best_values(
    scores: Mapping[str, Mapping[str, Any]], metrics: Iterable[str]
) -> tuple[list[str], dict[str, float]]:
    """Return the rows that compete, `comparable` ones but no limits, and each metric's best value.

    A single row competes with nobody, and nothing is the best.
    """
    rivals = [name for name in comparable(scores) if name not in LIMITS]
    if len(rivals) < 2:
        return [], {}
    best = {}
    for key in metrics:
        known = [scores[name][key] for name in rivals if scores[name].get(key) is not None]
        if known := [value for value in known if not math.isnan(value)]:
            best[key] = (max if METRICS[key].higher else min)(known)
    return rivals, best

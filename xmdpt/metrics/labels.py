"""The names and the formats in which tables show metrics, baselines and limits."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Metric(NamedTuple):
    """A metric's heading, whether higher is better, decimals shown, and a description.

    `higher` is None where both ends are bad: such a metric has no best, and no row is ahead in it.
    """

    label: str
    higher: bool | None
    decimals: int
    about: str

    @property
    def arrow(self) -> str:
        """What points to the better end, after a space; empty where neither is."""
        return "" if self.higher is None else " ↑" if self.higher else " ↓"


LABELS = ("result", "person", "source", "target")
"""The columns of a table of pairs that hold text, not metrics."""
AS_WRITTEN: dict[str, Any] = {
    "sep": "\t",
    "dtype": dict.fromkeys((*LABELS, "row"), str),
    "keep_default_na": False,
    "na_values": [""],
}
"""How pandas reads such a table: a name may look like a number, or be NA or None."""

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
    "sharpness": Metric(
        "sharpness",
        None,
        2,
        "Steepness of edges as a share of the true picture's: below 1 is blur, above 1 noise.",
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
"""In the order of the columns of tables."""

COPY = "copy_source"
BASELINES = {
    COPY: "copy the source",
    "mean_picture": "mean training picture",
    "nearest_pose": "training picture in the nearest pose",
}
"""Predictions without any learning, which a method must beat."""

LIMITS = {
    "reconstruction": "the true picture through the autoencoder",
    "truth": "the true pictures as a collection",
}
"""No predictions, since they use the truth: a method cannot be expected to beat them."""

FEW = "\N{DAGGER}"
"""Marks a distance of fewer pictures than its network has features."""
FEW_ABOUT = (
    f"{FEW} computed from fewer pictures than features: biased upwards; compare only over equal "
    "numbers of pictures"
)


def comparable(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the rows with the most pairs of any method.

    Means over other pairs, and Frechet distances of other numbers of pictures, do not compare.
    """
    counts = {name: row.get("count", 0) for name, row in scores.items()}
    most = max((counts[name] for name in counts if name not in LIMITS), default=0)
    return [name for name in counts if counts[name] == most]


def best_values(
    scores: Mapping[str, Mapping[str, Any]], metrics: Iterable[str]
) -> tuple[list[str], dict[str, float]]:
    """Return the competing rows, `comparable` ones that are no limits, and each metric's best.

    With fewer than two such rows there is no competition: both results are empty.
    """
    rivals = [name for name in comparable(scores) if name not in LIMITS]
    if len(rivals) < 2:
        return [], {}
    best = {}
    for key in (key for key in metrics if METRICS[key].higher is not None):
        known = [scores[name][key] for name in rivals if scores[name].get(key) is not None]
        if known := [value for value in known if not math.isnan(value)]:
            best[key] = (max if METRICS[key].higher else min)(known)
    return rivals, best

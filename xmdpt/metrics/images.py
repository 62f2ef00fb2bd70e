"""Metrics of single pictures: SSIM, PSNR, the overlap of silhouettes, sharpness.

Pictures are (H, W, 3) with values from 0 to 255: uint8, or float32 where a resizing filter returns
that. SciPy and scikit-image take a second to import: only the functions that need them do so.
"""

from typing import Any

import numpy as np

Picture = np.ndarray

WHITE = 235  # of 255: all channels of a background pixel are at least this
HOLE = 0.01  # of the picture: the largest enclosed patch that counts as white cloth


def _check(prediction: Picture, target: Picture) -> None:
    for picture in (prediction, target):
        if picture.dtype not in (np.uint8, np.float32) or picture.shape[2:] != (3,):
            raise ValueError(
                "need uint8 or float32 (H, W, 3) with values from 0 to 255, not "
                f"{picture.dtype} {picture.shape}"
            )
        if picture.dtype == np.float32 and _is_scaled(picture):
            raise ValueError(
                f"need values from 0 to 255, not from {picture.min():.3g} to {picture.max():.3g}: "
                "x * 255 brings [0, 1] there, (x + 1) * 127.5 brings [-1, 1]"
            )
    if prediction.shape != target.shape:
        raise ValueError(f"pictures of different sizes: {prediction.shape} and {target.shape}")


def _is_scaled(picture: Picture) -> bool:
    """Whether the values are those of a picture in [0, 1] or [-1, 1], not those of a black one."""
    fractions = (picture != np.round(picture)).mean()
    return bool(picture.size and np.abs(picture).max() <= 1 and fractions > 0.01)


def ssim(
    prediction: Picture,
    target: Picture,
    sigma: float | None = 1.2,
    *,
    window: int | None = None,
    data_range: float | None = None,
) -> float:
    """Return the structural similarity in [-1, 1], by default as in PIDM's protocol.

    It is the mean over channels and pixels, either with a Gaussian window of `sigma` pixels and the
    population covariance or, where sigma is None, with a uniform window of `window` pixels and the
    sample covariance. `data_range` defaults to the prediction's maximum minus its minimum (255
    where the prediction is flat).
    """
    from skimage.metrics import structural_similarity

    _check(prediction, target)
    prediction, target = prediction.astype(np.float64), target.astype(np.float64)
    options: dict[str, Any] = {"win_size": window}
    if sigma is not None:
        options = {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False}
    data_range = data_range or float(np.ptp(prediction)) or 255.0
    value = structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image has no types
        target, prediction, channel_axis=-1, data_range=data_range, **options
    )
    return float(value)


def psnr(prediction: Picture, target: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB for a peak of 255; infinite if identical."""
    _check(prediction, target)
    error = np.mean((prediction.astype(np.float64) - target) ** 2) / 255**2
    return float(-10 * np.log10(error)) if error else float("inf")


def silhouette(picture: Picture) -> np.ndarray:
    """Return the mask (H, W) of a person on a white background.

    A pixel is foreground if any channel is below `WHITE`. A patch of background that is enclosed by
    foreground counts as white cloth, and is filled, if it covers at most `HOLE` of the picture.
    Larger ones stay: usually the background between arm and body, but also a plain white shirt.
    """
    from scipy import ndimage

    mask = (picture < WHITE).any(axis=2)
    patches, count = ndimage.label(~mask)
    areas = np.bincount(patches.ravel(), minlength=count + 1)
    fill = areas <= HOLE * mask.size
    for edge in (patches[0], patches[-1], patches[:, 0], patches[:, -1]):
        fill[edge] = False  # background at the picture's edge is not enclosed
    fill[0] = False
    return mask | fill[patches]


def silhouette_iou(prediction: Picture, target: Picture) -> float:
    """Return the intersection over union of the two silhouettes; 1 where both are empty."""
    _check(prediction, target)
    a, b = silhouette(prediction), silhouette(target)
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def _steepness(picture: Picture) -> float:
    """The root mean square difference of neighbouring pixels, along rows and columns.

    The mean absolute difference would not do: it is the same for a step as for a ramp.
    """
    values = picture.astype(np.float64)
    down, across = (np.square(np.diff(values, axis=axis)).mean() for axis in (0, 1))
    return float(np.sqrt(down + across))


def sharpness(prediction: Picture, target: Picture) -> float:
    """Return how steep the prediction's edges are as a share of the target's: below 1 is blur.

    It compares root mean square differences of neighbouring pixels. Noise counts as edges. NaN if
    the target is flat.
    """
    _check(prediction, target)
    true = _steepness(target)
    return _steepness(prediction) / true if true else float("nan")

"""Picture by picture metrics: SSIM, PSNR and the overlap of silhouettes.

Pictures are (H, W, 3) from 0 to 255: uint8, or float32 where a resizing filter left it so.
"""

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

Picture = np.ndarray

WHITE = 235  # of 255: the least of a background's channels
HOLE = 0.01  # of the picture: the largest patch of background that is taken for white cloth


def _check(prediction: Picture, target: Picture) -> None:
    for picture in (prediction, target):
        if picture.dtype not in (np.uint8, np.float32) or picture.shape[2:] != (3,):
            raise ValueError(
                f"need uint8 or float32 (H, W, 3), not {picture.dtype} {picture.shape}"
            )
    if prediction.shape != target.shape:
        raise ValueError(f"pictures of different sizes: {prediction.shape} and {target.shape}")


def ssim(
    prediction: Picture,
    target: Picture,
    sigma: float | None = 1.2,
    *,
    window: int | None = None,
    data_range: float | None = None,
) -> float:
    """Return the structural similarity in [-1, 1]; by default as PIDM's protocol computes it.

    Mean over channels and pixels, with a Gaussian window of `sigma` pixels and no sample
    covariance, or, where sigma is None, a uniform one of `window` pixels' side with it. Without
    `data_range` it is the prediction's own maximum minus minimum (255 where that is flat).
    """
    _check(prediction, target)
    prediction, target = prediction.astype(np.float64), target.astype(np.float64)
    gaussian = {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False}
    value = structural_similarity(
        target,
        prediction,
        channel_axis=-1,
        data_range=data_range or float(np.ptp(prediction)) or 255.0,
        **({"win_size": window} if sigma is None else gaussian),
    )
    return float(value)


def psnr(prediction: Picture, target: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB for a peak of 255; infinite if identical."""
    _check(prediction, target)
    error = np.mean((prediction.astype(np.float64) - target) ** 2) / 255**2
    return float(-10 * np.log10(error)) if error else float("inf")


def silhouette(picture: Picture) -> np.ndarray:
    """Return the person's mask (H, W) on a white background.

    Foreground has any channel below `WHITE`; a background patch enclosed by it is taken for white
    cloth, and filled, if it covers at most `HOLE` of the picture. Larger ones stay: the background
    seen between arm and body, but also a white shirt with no edge at all.
    """
    mask = (picture < WHITE).any(axis=2)
    patches, count = ndimage.label(~mask)
    areas = np.bincount(patches.ravel(), minlength=count + 1)
    fill = areas <= HOLE * mask.size
    for edge in (patches[0], patches[-1], patches[:, 0], patches[:, -1]):
        fill[edge] = False  # background that touches the frame is no hole
    fill[0] = False
    return mask | fill[patches]


def silhouette_iou(prediction: Picture, target: Picture) -> float:
    """Return intersection over union of the two persons' silhouettes; 1 where both are empty."""
    _check(prediction, target)
    a, b = silhouette(prediction), silhouette(target)
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0

"""Metrics of generated pictures, and how tables name and format them.

`images.py` (SSIM, PSNR, silhouettes, sharpness) and `perceptual.py` (LPIPS) compare a picture with
the truth, `means.py` several pictures, and `frechet.py` sets of features (FID, KID). `intervals.py`
gives the uncertainty of a mean, `contrasts.py` that of a difference over seeds and people.
`labels.py` holds headings and formats; it, `intervals.py` and `contrasts.py` import without torch.
May import `features/`, `support/` and `data/`. docs/evaluate.md explains the protocols that use
them.
"""

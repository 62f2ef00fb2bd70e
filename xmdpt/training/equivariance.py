"""Beyond the paper: an autoencoder whose latents scale and turn with the picture (EQ-VAE, 2025).

Half the time the decoder must rebuild the scaled or turned picture from the latents scaled or
turned in the same way, which makes latents smoother, and so easier to draw (Kouzelis et al., ICML
2025, Eq. 4).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (0.25, 1.0)
"""Smallest and largest factor of a scaling."""


def draw_transform(chance: float, generator: torch.Generator) -> tuple[float, int]:
    """Return a factor and a number of quarter turns: (1, 0) but with probability `chance`.

    Scalings and turns are as likely as each other and are not combined.
    """
    share, kind, place = torch.rand(3, generator=generator).tolist()
    if share >= chance:
        return 1.0, 0
    if kind < 0.5:
        return SCALES[0] + (SCALES[1] - SCALES[0]) * place, 0
    return 1.0, 1 + int(3 * place)


def transform(x: Tensor, factor: float, turns: int, cells: int) -> Tensor:
    """Scale (B, C, H, W) by about `factor` (bicubic), and turn it by quarter turns.

    The result's height and width are multiples of `cells`, so that a picture transformed with 4
    cells and its latents, a quarter of its size, with 1 keep their proportion.
    """
    if factor != 1:
        sides = [max(1, round(side / cells * factor)) * cells for side in x.shape[-2:]]
        x = F.interpolate(x.float(), sides, mode="bicubic", antialias=True)
    return x.rot90(turns, dims=(-2, -1)) if turns else x

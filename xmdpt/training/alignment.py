"""Beyond the paper: early in a run, tokens must know where the pose puts which limb.

CANet pools the pose into one vector, and the network is slow to learn what that means for each cell
of the picture. So a 3x3 convolution of an early block's tokens has to predict the tokens of the
skeleton picture, cell by cell. The loss is iREPA's (2025; after REPA, Yu et al., ICLR 2025), with
the pose in place of a network's view of the target: no network that judges teaches.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from xmdpt.model import XMDPTTransformer2DModel

BLOCK = 1
"""The block, counted from 0, whose tokens are aligned."""
SHARE = 1 / 3
"""The share of the run that has the loss."""


class PoseAlignment(nn.Module):
    """The head of the loss, and the tokens of the model's last full pass."""

    def __init__(self, model: XMDPTTransformer2DModel) -> None:
        super().__init__()
        config = model.config
        self.head = nn.Conv2d(config.hidden_size, config.pose_width, kernel_size=3, padding=1)
        self.tokens: Tensor | None = None
        model.blocks[BLOCK].register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: tuple[Tensor, ...], tokens: Tensor) -> None:
        self.tokens = tokens

    def forward(self, pose_tokens: Tensor) -> Tensor:
        """Return the loss (B,), 0 to 2, of pose tokens (B, 1 + M, width) with their class token.

        It is one less the cosine to each cell's token, of which the picture's mean is subtracted.
        """
        assert self.tokens is not None, "the model's full pass comes first"
        teacher, tokens = _grid(pose_tokens[:, 1:].float()), _grid(self.tokens)
        self.tokens = None
        if teacher.shape[-1] != tokens.shape[-1]:
            teacher = F.adaptive_avg_pool2d(teacher, tokens.shape[-1])
        teacher = teacher - teacher.mean(dim=(2, 3), keepdim=True)
        cosine = F.cosine_similarity(self.head(tokens).float(), teacher, dim=1)
        loss: Tensor = 1 - cosine.mean(dim=(1, 2))
        return loss


def _grid(tokens: Tensor) -> Tensor:
    """Tokens (B, N, D) as a square map (B, D, side, side)."""
    side = math.isqrt(tokens.shape[1])
    grid: Tensor = tokens.transpose(1, 2).unflatten(2, (side, side))
    return grid

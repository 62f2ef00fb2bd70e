"""Exponential moving average of weights with a constant decay from the first step."""

import copy

import torch
from torch import nn


class EMA:
    """Shadow weights: shadow <- decay * shadow + (1 - decay) * weights after every step.

    diffusers' `EMAModel` warms its decay up; the paper, as DiT and MDT, does not.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        torch._foreach_lerp_(
            list(self.model.parameters()),
            [parameter.detach() for parameter in model.parameters()],
            1 - self.decay,
        )

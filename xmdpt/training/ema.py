"""Exponential moving average of weights with a constant decay from the first step."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class EMA(Generic[Model]):
    """Shadow weights: shadow <- decay * shadow + (1 - decay) * weights after every step.

    diffusers' `EMAModel` warms its decay up; the paper, like DiT and MDT, does not.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: Model) -> None:
        """Move the average towards the weights of `model`."""
        torch._foreach_lerp_(
            list(self.model.parameters()),
            [parameter.detach() for parameter in model.parameters()],
            1 - self.decay,
        )

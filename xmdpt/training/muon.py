"""Beyond the paper: Muon (Jordan et al., 2024) for linear layers' weights, AdamW for the rest.

An update is the running mean of gradients with all its singular values brought near 1, by five
Newton-Schulz iterations. PyTorch's own Muon iterates in bfloat16, which many processors only
emulate, and matrix by matrix; here matrices of one shape go together, in the format of the
training, which its states keep. The rate is scaled to the size of AdamW's updates (Liu et al.,
"Muon is scalable for LLM training", 2025), so one rate serves both.
"""

import math
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from xmdpt.config import Precision
from xmdpt.training.device import adamw

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that an iteration applies to the singular values."""


def orthogonalized(matrices: Tensor, precision: Precision = "fp32") -> Tensor:
    """Matrices (n, rows, columns) with the same singular vectors, and values of about 1."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    x = x.bfloat16() if precision == "bf16" else x.float()
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonalized, Nesterov-extrapolated mean of gradients of matrices."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        precision: Precision = "fp32",
    ) -> None:
        settings = {"lr": lr, "weight_decay": weight_decay, "precision": precision}
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient."""
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            given.sort(key=lambda p: tuple(p.shape))
            for shape, alike in groupby(given, key=lambda p: tuple(p.shape)):
                self._step_alike([*alike], shape, group)

    def _step_alike(
        self, matrices: list[Tensor], shape: tuple[int, ...], group: dict[str, Any]
    ) -> None:
        lr, decay = group["lr"], group["weight_decay"]
        directions = []
        for matrix in matrices:
            grad, state = matrix.grad, self.state[matrix]
            assert grad is not None, "those without are left out"
            mean = state.setdefault("mean", torch.zeros_like(matrix))
            mean.lerp_(grad, 1 - MOMENTUM)
            directions.append(grad.lerp(mean, MOMENTUM))
        updates = orthogonalized(torch.stack(directions), group["precision"])
        rate = 0.2 * math.sqrt(max(shape)) * lr
        for matrix, update in zip(matrices, updates, strict=True):
            matrix.mul_(1 - lr * decay).add_(update, alpha=-rate)


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for the weights of linear layers of a module, AdamW for all else; one list of groups."""

    def __init__(
        self,
        module: nn.Module,
        lr: float,
        weight_decay: float,
        beta2: float,
        precision: Precision = "fp32",
    ) -> None:
        linear = {id(part.weight) for part in module.modules() if isinstance(part, nn.Linear)}
        matrices = [p for p in module.parameters() if id(p) in linear]
        others = [p for p in module.parameters() if id(p) not in linear]
        self.parts = {
            "muon": Muon(matrices, lr, weight_decay, precision),
            "adamw": adamw(others, lr, weight_decay, beta2),
        }
        super().__init__(self._groups(), {})

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts.values() for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all weights."""
        for part in self.parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self.param_groups = self._groups()  # loading makes new ones

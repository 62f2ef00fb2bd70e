"""The loss on fixed test pairs, timesteps and noise, watched in training.

The loss that a step reports jumps with the timesteps it has drawn; this one moves only with the
weights, and compares between runs of one data set and objective.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xmdpt.config import Precision, TrainConfig
from xmdpt.data.annotations import Pair
from xmdpt.data.pairs import spread
from xmdpt.diffusion import NUM_TIMESTEPS
from xmdpt.features.cache import FeatureCache, PairBatches
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import autocast
from xmdpt.training.train import TrainingModule, draw_batch

PAIRS = 4
"""One for each quarter of the timesteps: watched every tenth step, they cost 0.7 % on one core."""
SHOWN = ("mse", "masked_mse")


class FixedLoss:
    """One batch of test pairs, each in the middle of a quarter of the timesteps."""

    def __init__(
        self,
        cache: FeatureCache,
        pairs: Sequence[Pair],
        config: TrainConfig,
        num_patches: int,
        source_encoder: nn.Module | None = None,
    ) -> None:
        """Read and draw it; `source_encoder` makes source tokens if the cache stores photos."""
        self.objective = config.objective
        self.batch: dict[str, Tensor] = {}
        if not pairs:
            return
        targets = [(target, (source,)) for source, target in spread(pairs, PAIRS)]
        settings = config.model_copy(update={"batch_size": PAIRS})
        self.batch = draw_batch(PairBatches(cache, targets, 0), settings, num_patches, 0)
        times = (torch.arange(PAIRS) + 0.5) * NUM_TIMESTEPS / PAIRS
        self.batch["t"] = times.to(self.batch["t"].dtype)
        if source_encoder is not None:
            device = next(source_encoder.parameters()).device
            photos = to_signed(self.batch.pop("source_pictures")).to(device)
            with torch.no_grad():
                self.batch["source_tokens"] = source_encoder(photos)

    @torch.no_grad()
    def __call__(self, model: XMDPTTransformer2DModel, precision: Precision) -> dict[str, float]:
        """Return `fixed_mse`, and with MIPNet `fixed_masked_mse`; nothing without test pairs."""
        if not self.batch:
            return {}
        batch = {name: value.to(model.device) for name, value in self.batch.items()}
        with autocast(model.device, precision):
            losses = TrainingModule(model, 0.0, self.objective)(batch)
        return {f"fixed_{name}": losses[name].mean().item() for name in SHOWN if name in losses}

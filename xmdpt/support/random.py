"""Random generators keyed by purpose: any step can be redrawn without the steps before it."""

import hashlib

import torch
from torch import Tensor


def keyed_generator(seed: int, *keys: int | str) -> torch.Generator:
    """A CPU generator that depends only on (seed, keys)."""
    digest = hashlib.sha256(repr((seed, *keys)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def batch_indices(seed: int, step: int, batch_size: int, count: int) -> Tensor:
    """The batch_size indices below `count` that `step` trains on: shuffled epochs, back to back."""
    positions = torch.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // count
    orders = {
        epoch: torch.randperm(count, generator=keyed_generator(seed, "order", epoch))
        for epoch in set(epochs.tolist())
    }
    picks = zip(epochs.tolist(), (positions % count).tolist(), strict=True)
    return torch.stack([orders[epoch][position] for epoch, position in picks])

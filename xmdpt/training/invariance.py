"""Does the condition vector show the person, whatever the view? Watched in training (Fig. 5)."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmdpt.data.pairs import item
from xmdpt.features.cache import FeatureCache
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.pictures import to_signed


def mean_cosines(vectors: Tensor, people: Sequence[int]) -> tuple[float, float]:
    """Return the mean cosine similarity of vectors (K, D) within people, and between people.

    `people` (K,) says whose vector each one is. No vector is compared with itself.
    """
    unit = F.normalize(vectors.double(), dim=1)
    cosines = unit @ unit.T
    owner = torch.as_tensor(people, device=vectors.device)
    same = owner[:, None] == owner
    other_view = same & ~torch.eye(len(owner), dtype=torch.bool, device=vectors.device)
    return cosines[other_view].mean().item(), cosines[~same].mean().item()


class InvarianceProbe:
    """The condition vectors of several views of some people, all with the same target pose.

    The paper plots their similarity within a person. Similarity between people is the control: a
    vector that ignores the source would be just as similar there. It takes two people at least.
    """

    def __init__(
        self, cache: FeatureCache, views: list[list[str]], source_encoder: nn.Module | None = None
    ) -> None:
        """Read the features; `source_encoder` makes source tokens if the cache stores photos."""
        # A rendered person has the same clothes under both numbers that names begin with.
        views = [*{item(pictures[0]): pictures for pictures in views}.values()]
        self.people = [person for person, pictures in enumerate(views) for _ in pictures]
        self.comparable = len(views) > 1
        if not self.comparable:
            return
        names = [name for pictures in views for name in pictures]
        rows = np.array([cache.rows[name] for name in names])
        flips = np.zeros(len(rows), dtype=int)
        pose = cache.read("pose_tokens", rows[:1], flips[:1]).float()
        self.pose = pose.expand(len(rows), -1, -1)
        mean = cache.read("moments", rows, flips).chunk(2, dim=1)[0]
        self.latent = mean * cache.scaling_factor
        if source_encoder is None:
            self.source = cache.read("source_tokens", rows, flips).float()
        else:
            device = next(source_encoder.parameters()).device
            photos = to_signed(cache.read_pictures(rows, flips).numpy()).to(device)
            with torch.no_grad():
                self.source = source_encoder(photos)

    @torch.no_grad()
    def __call__(self, model: XMDPTTransformer2DModel) -> dict[str, float]:
        """Return `cosine_person` and `cosine_people` of the model's condition vectors."""
        if not self.comparable:
            return {}
        inputs = (tensor.to(model.device) for tensor in (self.pose, self.source, self.latent))
        # Of a condition, the paper's vector: an extension of the network keeps more behind it.
        vectors = model.encode_condition(*inputs)[:, : model.config.hidden_size]
        within, between = mean_cosines(vectors, self.people)
        return {"cosine_person": within, "cosine_people": between}

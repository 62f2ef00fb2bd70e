"""A few rendered people for the notebooks, made once, and what the networks see of them."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xmdpt.config import FeaturesConfig
from xmdpt.data.annotations import Pair
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.cache import FeatureCache, sample_latent
from xmdpt.features.make import Encoders, cache_features
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.people.dataset import render_dataset
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import fingerprint

REPOSITORY = Path(__file__).parents[2]
WORK = REPOSITORY / "data/cache/lessons"
FIRST_PERSON = 9_100_000  # numbers that no profile renders


def lesson_people(
    test: int, train: int = 0, views: int = 8, size: int = 128, folder: str | Path | None = None
) -> DeepFashion:
    """Rendered people in a data set of their own, a second for each five pictures, made once.

    `test` and `train` people with `views` pictures each, squashed to `size` by the reader;
    `folder` is where they are kept, None means data/cache/lessons of the repository. The test
    people are the same whatever `train` is. The first call on a machine builds the body model,
    which takes a minute.
    """
    settings = {"identities": train + test, "test_identities": test, "views": views}
    root = _make_once(
        Path(folder or WORK) / f"people-{test}-{train}-{views}",
        lambda place: render_dataset(
            place, height=192, first_identity=FIRST_PERSON - train, **settings
        ),
    )
    return DeepFashion(root, size)


def _make_once(place: Path, make: Callable[[Path], None]) -> Path:
    """The folder `place`, made if it is not there; of two notebooks that make it, one's stays."""
    if not place.exists():
        own = place.with_name(f".{place.name}.partial-{os.getpid()}")
        make(own)
        try:
            own.rename(place)
        except OSError:  # the other one was first
            shutil.rmtree(own)
    return place


def features_of(pipe: XMDPTPipeline) -> FeaturesConfig:
    """Settings of features as the pipeline's model was trained on, for a cache of a few people."""
    return FeaturesConfig(
        source_encoder=pipe.config.source_encoder,
        pose_encoder=pipe.config.pose_encoder,
        imagenet_normalization=pipe.config.imagenet_normalization,
        precision=pipe.config.encoder_precision,
        source_tokens="stored",
        storage="fp32",
        batch_size=16,
    )


def encode_pairs(
    pipe: XMDPTPipeline, data: DeepFashion, pairs: Sequence[Pair]
) -> dict[str, Tensor]:
    """What CANet and the losses take of (source, target) pairs, on the pipeline's device.

    `source_latent` and `target_latent` (B, C, H, W), the posterior's means as scaled for
    diffusion; `source_tokens` (B, M', width') and `pose_tokens` (B, M, width).
    """
    encoders = Encoders.load(pipe.vae, features_of(pipe)).to(pipe.device)
    photos, skeletons = data.picture, data.skeleton
    sources, targets = zip(*pairs, strict=True)
    of_source, of_target = (
        encoders(np.stack([*map(photos, names)]), np.stack([*map(skeletons, names)]))
        for names in (sources, targets)
    )
    scale = pipe.vae.config.scaling_factor
    latents = (
        sample_latent(features["moments"], torch.zeros((), device=pipe.device), scale)
        for features in (of_source, of_target)
    )
    named = dict(zip(("source_latent", "target_latent"), latents, strict=True))
    return named | {
        "source_tokens": of_source["source_tokens"],
        "pose_tokens": of_target["pose_tokens"],
    }


@torch.no_grad()
def condition_of(model: XMDPTTransformer2DModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """The condition vectors y (B, D) that a model makes of what `encode_pairs` gives."""
    names = ("pose_tokens", "source_tokens", "source_latent")
    return model.encode_condition(*(inputs[name] for name in names))


def training_features(
    pipe: XMDPTPipeline, data: DeepFashion, folder: str | Path | None = None
) -> FeatureCache:
    """The cached features of the data set's training pictures, made once for these weights."""
    settings = features_of(pipe)
    encoders = Encoders.load(pipe.vae, settings)
    key = fingerprint(encoders.key, settings.model_dump(), data.root.name, data.size)
    names = data.pictures("train")
    return FeatureCache(
        _make_once(
            Path(folder or WORK) / f"features-{key}",
            lambda place: cache_features(place, names, data, encoders, settings, processes=1),
        )
    )

"""A few rendered people for the notebooks, made once, and the networks' view of them."""

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
from xmdpt.data.pairs import item, spread
from xmdpt.features.cache import FeatureCache, sample_latent
from xmdpt.features.make import Encoders, cache_features
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.people.dataset import render_dataset
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import code_key, fingerprint
from xmdpt.support.place import CLONE, own_cache

REPOSITORY = CLONE or Path()
WORK = REPOSITORY / "data/cache/lessons" if CLONE else own_cache() / "lessons"
FIRST_PERSON = 9_100_000  # no profile renders these numbers


def lesson_people(
    test: int, train: int = 0, views: int = 8, size: int = 128, folder: str | Path | None = None
) -> DeepFashion:
    """A data set of rendered people, made once by this renderer, at about five pictures a second.

    It has `test` and `train` people with `views` pictures each, squashed to `size` when read, in
    `folder` (None: data/cache/lessons of the repository; without one, the cache of this user). The
    test people do not depend on `train`. The first call on a machine builds the body model, which
    takes a minute.
    """
    root = _make_once(
        Path(folder or WORK) / f"people-{test}-{train}-{views}-{code_key('people/*.py')}",
        lambda place: render_dataset(
            place,
            identities=train + test,
            test_identities=test,
            views=views,
            height=192,
            first_identity=FIRST_PERSON - train,
        ),
    )
    return DeepFashion(root, size)


def views_of(data: DeepFashion, people: int, views: int) -> list[list[str]]:
    """Up to `views` pictures of each of up to `people` test people, spread evenly over all.

    The number that a rendered picture's name begins with is no other outfit, as it is in
    DeepFashion: `views_of_people` would take one person for two.
    """
    by_person: dict[str, list[str]] = {}
    for name in sorted(data.pictures("test")):
        by_person.setdefault(item(name), []).append(name)
    return [spread(pictures, views) for pictures in spread([*by_person.values()], people)]


def _make_once(place: Path, make: Callable[[Path], None]) -> Path:
    """The folder `place`, made if missing; if two notebooks make it at once, one copy stays."""
    if not place.exists():
        own = place.with_name(f".{place.name}.partial-{os.getpid()}")
        try:
            make(own)
            own.rename(place)
        except OSError:
            if not place.exists():  # else the other one was first
                raise
        finally:
            shutil.rmtree(own, ignore_errors=True)
    return place


def features_of(pipe: XMDPTPipeline) -> FeaturesConfig:
    """The feature settings that the pipeline's model was trained with, for a small cache."""
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
    """The inputs of CANet and of the losses for (source, target) pairs, on the pipeline's device.

    `source_latent` and `target_latent` (B, C, H, W), the posterior's means, scaled for diffusion;
    `source_tokens` (B, M', width') and `pose_tokens` (B, M, width).
    """
    encoders = Encoders.load(pipe.vae, features_of(pipe)).to(pipe.device)
    of_source, of_target = (
        encoders(np.stack([*map(data.picture, names)]), np.stack([*map(data.skeleton, names)]))
        for names in zip(*pairs, strict=True)
    )
    no_noise, scale = torch.zeros((), device=pipe.device), pipe.vae.config["scaling_factor"]
    return {
        "source_latent": sample_latent(of_source["moments"], no_noise, scale),
        "target_latent": sample_latent(of_target["moments"], no_noise, scale),
        "source_tokens": of_source["source_tokens"],
        "pose_tokens": of_target["pose_tokens"],
    }


@torch.no_grad()
def condition_of(model: XMDPTTransformer2DModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """The condition vectors y (B, D) that a model makes from `encode_pairs`' inputs."""
    names = ("pose_tokens", "source_tokens", "source_latent")
    condition: Tensor = model.encode_condition(*(inputs[name] for name in names))
    return condition


def training_features(
    pipe: XMDPTPipeline, data: DeepFashion, folder: str | Path | None = None
) -> FeatureCache:
    """Cached features of the data set's training pictures, made once for these weights."""
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

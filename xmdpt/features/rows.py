"""The features of a run: its profile's, or, with other encoders, some of its own."""

from pathlib import Path

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from xmdpt.config import Config, ConfigError, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import views_of_people
from xmdpt.features.cache import FeatureCache
from xmdpt.features.make import Encoders, cache_features

SHARED = Path("data/cache/features")
"""What the stage `features` makes."""
OWN = Path("data/cache/row_features")
"""A folder for each run that has other encoders than its profile."""


def names_to_cache(config: Config, data: DeepFashion) -> list[str]:
    """The pictures whose features `features.pictures` asks for, training pictures first."""
    if config.features.pictures == "few":
        return [name for views in views_of_people(data.pictures("test")) for name in views]
    return data.pictures("train") + data.pictures("test")


def require_features() -> None:
    """Raise ConfigError where the stage `features` has not been carried out."""
    if not SHARED.is_dir():
        raise ConfigError(f"{SHARED}: missing; `dvc repro features` makes it")


def features_of(run: str, params: str | Path = "params.yaml") -> Path:
    """Return the folder of the features that `run` trains on; its own are made if need be."""
    config = load_config(params, run)
    if config.features == load_config(params).features:
        return SHARED
    data = DeepFashion(config.data.root, config.data.size)
    vae = AutoencoderKL.from_pretrained("models/vae", local_files_only=True)
    encoders = Encoders.load(vae, config.features)
    cache_features(OWN / run, FeatureCache(SHARED).names, data, encoders, config.features)
    return OWN / run

"""Published weights as the result of a training that nobody has to do."""

from pathlib import Path

import pandas as pd

from xmdpt.config import Config, ConfigError
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import views_of_people
from xmdpt.extensions.context import differences
from xmdpt.features.cache import FeatureCache
from xmdpt.features.encoders import make_encoder
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.files import atomic_path, fingerprint, resumable_dir
from xmdpt.training.invariance import InvarianceProbe
from xmdpt.training.run import weights_digest


def take_released(
    config: Config, model: str | Path, features: str | Path, out: str | Path, keep: bool = False
) -> pd.DataFrame:
    """Keep the weights in the folder `model` as the checkpoints of the run in `config`, in `out`.

    Returns a history of one row: the step that the settings say, and how similar the model's
    condition vectors of test people are. `keep` is that of `resumable_dir`. Raises ConfigError for
    a model that has other settings than the run.
    """
    weights = XMDPTTransformer2DModel.from_pretrained(model, local_files_only=True)
    for name, (wanted, found) in differences(config.model, weights).items():
        raise ConfigError(f"model.{name}: {wanted}, but {model} has {found}; change it to that")
    cache = FeatureCache(features)
    encoder = None if "source_tokens" in cache.stored else make_encoder(**cache.source_encoder)
    data = DeepFashion(config.data.root, config.data.size)
    probe = InvarianceProbe(cache, views_of_people(data.pictures("test")), encoder)
    history = pd.DataFrame([{"step": config.train.steps} | probe(weights)])
    key = fingerprint(weights_digest(str(model)), config.train.checkpoints)
    with resumable_dir(out, key, keep=keep) as work:
        for name in config.train.checkpoints:
            weights.save_pretrained(work / name)
        with atomic_path(work / "history.tsv") as partial:
            history.to_csv(partial, sep="\t", index=False, float_format="%.6g")
    return history

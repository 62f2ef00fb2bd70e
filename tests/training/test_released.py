"""Published weights as a run's checkpoints: the same tensors, with what can be measured of them."""

import json

import pandas as pd
import pytest
from helpers.networks import assert_same_tensors

from xmdpt.config import ConfigError
from xmdpt.data.pairs import views_of_people
from xmdpt.features.cache import FeatureCache
from xmdpt.features.rows import names_to_cache
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.training.invariance import InvarianceProbe
from xmdpt.training.released import take_released
from xmdpt.training.run import build_model


@pytest.fixture
def published(config, features, tmp_path):
    """A model folder with the settings of the run, as the stage `released` leaves it."""
    build_model(config, FeatureCache(features)).save_pretrained(tmp_path / "published")
    return tmp_path / "published"


def test_the_checkpoints_are_the_published_weights(config, data, features, published, tmp_path):
    history = take_released(config, published, features, tmp_path / "run")
    theirs = XMDPTTransformer2DModel.from_pretrained(published)
    for name in config.train.checkpoints:
        ours = XMDPTTransformer2DModel.from_pretrained(tmp_path / "run" / name)
        assert_same_tensors(ours.state_dict(), theirs.state_dict())
    probe = InvarianceProbe(FeatureCache(features), views_of_people(data.pictures("test")))
    assert history.to_dict("records") == [{"step": config.train.steps} | probe(theirs)]
    written = pd.read_csv(tmp_path / "run/history.tsv", sep="\t")
    pd.testing.assert_frame_equal(written, history, rtol=1e-5)


def test_a_model_of_other_settings_is_refused(config, features, published, tmp_path):
    about = json.loads((published / "config.json").read_text())
    (published / "config.json").write_text(json.dumps(about | {"mask_ratio": 0.5}))
    with pytest.raises(ConfigError, match=r"model.mask_ratio: 0.3, but .*published has 0.5"):
        take_released(config, published, features, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_few_pictures_are_those_that_are_watched(config, data):
    few = config.features.model_copy(update={"pictures": "few"})
    names = names_to_cache(config.model_copy(update={"features": few}), data)
    assert names == [name for views in views_of_people(data.pictures("test")) for name in views]
    everything = names_to_cache(config, data)
    assert everything == data.pictures("train") + data.pictures("test")
    assert 0 < len(names) < len(everything)

"""Features and scores are the same in whatever layout a data set lies."""

import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.datasets import copy_of, everyone, index_of, own_data_set, write_lmdb, write_patn
from helpers.people import SIZE

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DataError, DeepFashion, read_picture
from xmdpt.data.pairs import result_name
from xmdpt.evaluation import evaluate
from xmdpt.evaluation.baselines import write_baselines
from xmdpt.evaluation.evaluate import evaluate_pairs
from xmdpt.evaluation.protocols import get_protocol
from xmdpt.evaluation.results import References, match_results, training_pictures
from xmdpt.features.cache import FeatureCache
from xmdpt.features.encoders import make_encoder
from xmdpt.features.make import Encoders, cache_features


@pytest.fixture
def lmdb_index(people, tmp_path):
    raw = tmp_path / "raw"
    write_lmdb(raw / "64-64", people, everyone(DeepFashion(people, SIZE)))
    copy_of(people, raw, "pose", "train_pairs.txt", "test_pairs.txt")
    return index_of(raw, tmp_path / "index")


def test_features_of_a_lmdb_equal_those_of_its_files(people, lmdb_index, tiny_vae, tmp_path):
    names = lmdb_index.pictures("test")
    encoder = make_encoder("efficientnet_lite0")
    settings = load_config("profiles/smoke.yaml").features
    for folder, data in (("a", DeepFashion(people, SIZE)), ("b", lmdb_index)):
        encoders = Encoders(tiny_vae, encoder, encoder)
        cache_features(tmp_path / folder, names, data, encoders, settings, iter)
    files, from_lmdb = FeatureCache(tmp_path / "a"), FeatureCache(tmp_path / "b")
    assert files.rows == from_lmdb.rows
    rows, flips = np.arange(len(names)), np.arange(len(names)) % 2
    for name in ("moments", "source_tokens", "pose_tokens"):
        assert torch.equal(files.read(name, rows, flips), from_lmdb.read(name, rows, flips))


@pytest.mark.filterwarnings("ignore:.*has no train.lst")
def test_every_layout_gives_the_same_scores(people, lmdb_index, tmp_path):
    """References and training pictures as files, under an index, in an LMDB, and mangled."""
    data = DeepFashion(people, SIZE)
    write_patn("fasion", "fasion-annotation-{}.csv", lambda p: p)(tmp_path / "flat", people, data)
    roots = [people, index_of(people, tmp_path / "files").root, lmdb_index.raw.parent]
    roots += [lmdb_index.root, tmp_path / "flat"]
    made = write_baselines(tmp_path / "made", data, data.pairs("test"))["copy_source"]
    scores = [evaluate(made, root, root, "synthetic", progress=False) for root in roots]
    assert scores[0]["count"] == 6 and "fd_effnet" in scores[0]
    assert scores[1:] == [scores[0]] * 4
    one = evaluate(made, lmdb_index.raw, people, "synthetic", progress=False)  # the LMDB itself
    assert one == scores[0]
    with pytest.raises(DataError, match=r"64-64: has no train\.lst to say which"):
        training_pictures(lmdb_index.raw)


def test_references_that_were_squashed_before_are_said(people, tmp_path):
    data, raw = DeepFashion(people, SIZE), tmp_path / "raw"
    write_lmdb(raw / "256-256", people, everyone(data))
    copy_of(people, raw, "pose", "train_pairs.txt", "test_pairs.txt")
    made = write_baselines(tmp_path / "made", data, data.pairs("test"))["copy_source"]
    said = {}
    for name in ("pidm", "cfld"):
        rules = replace(get_protocol(name), perceptual=())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            evaluate_pairs(made, raw, rules, progress=False)
        said[name] = any("LMDB of 256x256" in str(one.message) for one in caught)
    assert said == {"pidm": False, "cfld": True}


def test_names_of_ones_own_are_found_under_an_index(tmp_path):
    own_data_set(tmp_path / "raw", ["anna/a1.png", "anna/a2.png"])
    index = index_of(tmp_path / "raw", tmp_path / "index")
    found = References(index.root).find("a2")
    assert np.array_equal(found.read(), read_picture(tmp_path / "raw/anna/a2.png"))
    assert References(index.root).find("a3") is None
    with open(index.root / "test.lst", "a") as file:
        file.write("bert/a2.png\n")
    with pytest.raises(DataError, match=r"cannot tell anna/a2\.png from bert/a2\.png"):
        References(index.root).find("a2")


def test_folders_tell_people_apart_where_there_are_several(tmp_path):
    own_data_set(tmp_path / "raw", ["anna/a1.png", "anna/a2.png", "bert/b1.png", "bert/b2.png"])
    pairs = [
        ("anna/a1.png", "anna/a2.png"),
        ("anna/a2.png", "anna/a1.png"),
        ("bert/b1.png", "bert/b2.png"),
    ]
    lines = ["from,to", *map(",".join, pairs)]
    (tmp_path / "raw/pairs-test.csv").write_text("\n".join(lines) + "\n")
    index = index_of(tmp_path / "raw", tmp_path / "index")
    made = tmp_path / "made"
    made.mkdir()
    for source, target in pairs:
        shutil.copy(tmp_path / "raw" / target, made / result_name(source, target))
    assert [one.person for one in match_results(made, index.root)] == ["anna", "anna", "bert"]
    (made / result_name(*pairs[-1])).unlink()
    assert [one.person for one in match_results(made, index.root)] == ["a1", "a2"]


def test_references_come_from_the_lmdb_of_the_size_that_is_scored(people, tmp_path):
    for name in ("64-44", "64-64", "128-88"):
        write_lmdb(tmp_path / "set" / name, people, everyone(DeepFashion(people, SIZE)))
    sizes = {(64, 64): (64, 64), (64, 44): (64, 44), (96, 96): (128, 88), (256, 176): (128, 88)}
    assert {size: References(tmp_path / "set", size).store.size for size in sizes} == sizes
    references = References(tmp_path / "set", (64, 64))
    with pytest.raises(DataError, match="holds no picture stranger"):
        references.require("stranger")


def test_without_a_list_the_training_pairs_say_who_trains(people, tmp_path):
    """Not all pictures that lie there: those of the test set are no training pictures."""
    listed = [one.name for one in training_pictures(people)]
    (people / "train.lst").unlink()
    with pytest.warns(UserWarning, match=r"no train\.lst: using the 9 pictures"):
        assert [one.name for one in training_pictures(people)] == listed

"""Scoring one folder: values, tables of pairs, what the distances count."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers.people import SIZE
from PIL import Image

from xmdpt.data.pairs import mangle, result_name
from xmdpt.evaluation import evaluate, evaluate_pairs
from xmdpt.evaluation.evaluate import _mean, training_statistics
from xmdpt.evaluation.protocols import get_protocol
from xmdpt.evaluation.results import find_pictures
from xmdpt.metrics.images import psnr, ssim
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.support.pictures import to_signed


@pytest.fixture(scope="module")
def train(data):
    """The training pictures' side of the distances."""
    return training_statistics(data.root, "synthetic", (SIZE, SIZE), progress=False)


def test_synthetic_protocol(data, results, train):
    values = evaluate(results, data.root, data.root, "synthetic", progress=False)
    pixels = ["ssim", "psnr", "silhouette_iou", "sharpness"]
    assert list(values) == [*pixels, "st_lpips", "fd_effnet", "kd_effnet", "count"]
    assert all(type(value) is float and np.isfinite(value) for value in values.values())
    assert values["count"] == 12 and values["silhouette_iou"] > 0.95
    assert values == evaluate(results, data.root / "img", train, "synthetic", progress=False)
    assert "fd_effnet" not in evaluate(results, data.root, None, "synthetic", progress=False)


def test_a_dropped_batch_is_not_in_the_distances(data, results, tmp_path):
    rules = get_protocol("synthetic")
    dropping = replace(rules.frechet[0], batch_size=8, drop_last=True)
    rules = replace(rules, frechet=(dropping,))
    everything = evaluate_pairs(results, data.root, rules, progress=False)
    for name in everything["result"][:8]:
        shutil.copy(results / name, tmp_path)
    train = training_statistics(data.root, rules, (SIZE, SIZE), progress=False)
    all_12, first_8 = (
        evaluate(folder, data.root, train, rules, progress=False) for folder in (results, tmp_path)
    )
    for key in ("fd_effnet", "kd_effnet"):
        assert all_12[key] == pytest.approx(first_8[key])


def test_a_picture_of_several_pairs_is_one_draw(data, answers, train, tmp_path):
    """Each target stands in two pairs: the kernel distance is that of the six targets, once."""
    once = {target: (source, target) for source, target in data.pairs("test")}
    for pair in once.values():
        shutil.copy(answers["truth"] / result_name(*pair), tmp_path)
    score = partial(evaluate, reference_dir=data.root, train_dir=train, protocol="synthetic")
    twice, single = (
        score(folder, progress=False)["kd_effnet"] for folder in (answers["truth"], tmp_path)
    )
    assert len(once) == 6 and twice == pytest.approx(single)


def test_perfect_results(data, answers):
    values = evaluate(answers["truth"], data.root, protocol="synthetic", progress=False)
    assert values["ssim"] == pytest.approx(1) and values["silhouette_iou"] == 1
    assert values["st_lpips"] == 0 and values["psnr"] == float("inf")


def test_references_may_be_flat_and_results_named_otherwise(data, results, tmp_path):
    flat, foreign = tmp_path / "flat", tmp_path / "foreign"
    flat.mkdir(), foreign.mkdir()
    for path in find_pictures(data.root):
        Image.open(path).save(flat / f"{mangle(path)}.png")
    for path in find_pictures(results):
        (foreign / path.name.replace("_2_fashion", "_to_fashion")).write_bytes(path.read_bytes())
    table = evaluate_pairs(results, data.root, "synthetic", progress=False)
    other = evaluate_pairs(foreign, flat, "synthetic", progress=False)
    pd.testing.assert_frame_equal(table.drop(columns="result"), other.drop(columns="result"))


def test_pairs_table(data, results):
    table = evaluate_pairs(results, data.root, "synthetic", progress=False)
    assert list(table.columns[:4]) == ["result", "person", "source", "target"]
    assert (table["target"] == sorted(table["target"])).all() and len(table) == 12
    assert set(table["person"]) == {f"fashionWOMENTees_Tanksid0000000{i}" for i in (6, 7)}
    one = table.iloc[5]
    assert one["result"] == f"{one['source']}_2_{one['target']}_vis.png"
    whole = evaluate(results, data.root, protocol="synthetic", pairs=table, progress=False)
    for metric in ("ssim", "psnr", "st_lpips"):
        assert whole[metric] == pytest.approx(table[metric].mean())
    drawn, truth = np.asarray(Image.open(results / one["result"])), data.picture(one["target"])
    assert one["psnr"] == pytest.approx(psnr(drawn, truth))
    assert one["ssim"] == pytest.approx(ssim(drawn, truth, sigma=1.2))
    network = STLPIPS()
    for row in table.itertuples():
        made, true = np.asarray(Image.open(results / row.result)), data.picture(row.target)
        alone = network(to_signed(made[None]), to_signed(true[None])).item()
        assert row.st_lpips == pytest.approx(alone, rel=1e-3)


def test_a_mean_leaves_out_pairs_that_do_not_differ():
    assert _mean([20.0, float("inf"), 30.0]) == 25 and _mean([float("inf")] * 2) == float("inf")


def test_statistics_of_other_rules_are_refused(data, results, train):
    rules = replace(train["fd_effnet"].rules, batch_size=7)
    other = {"fd_effnet": replace(train["fd_effnet"], rules=rules)}
    with pytest.raises(ValueError, match="made for another protocol"):
        evaluate(results, data.root, other, "synthetic", progress=False)

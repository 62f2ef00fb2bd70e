"""Baselines and limits: what they show, and their scores on disk."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DataError
from xmdpt.data.pairs import result_name, spread
from xmdpt.evaluation import baselines as base
from xmdpt.evaluation.results import find_pictures
from xmdpt.metrics.labels import BASELINES, LIMITS


def test_pose_distance(data):
    pose = data.keypoints(data.pictures("train")[0])
    seen = (pose != -1).all(axis=1)
    moved = np.where(pose == -1, -1, pose + np.array([3, 4]))
    fewer = pose.copy()
    fewer[0] = -1
    distances = base.pose_distances(pose, np.stack([pose, moved, fewer]))
    np.testing.assert_allclose(distances, [0, 5, base.MISMATCH / seen.sum()])
    empty = np.full((18, 2), -1.0)
    assert base.pose_distances(empty, empty[None])[0] == 0


def test_baselines(data, results, tmp_path):
    pairs = base.result_pairs(results, data)
    assert pairs == data.pairs("test")
    folders = base.write_baselines(tmp_path, data, pairs)
    assert list(folders) == list(BASELINES)
    source, target = pairs[0]
    made = {
        name: np.asarray(Image.open(folder / result_name(source, target)))
        for name, folder in folders.items()
    }
    assert np.array_equal(made["copy_source"], data.picture(source))
    every = [data.picture(name) for name in data.pictures("train")]
    assert np.array_equal(made["mean_picture"], np.mean(every, axis=0).round().astype(np.uint8))
    assert abs(made["mean_picture"][0, 0].astype(int) - 255).max() <= 1
    # All people have the same poses in the same views: the first training person is taken.
    nearest = target.replace("id_00000006", "id_00000000")
    assert nearest in data.pictures("train")
    assert np.array_equal(made["nearest_pose"], data.picture(nearest))
    assert all(len(find_pictures(folder)) == len(pairs) for folder in folders.values())


def test_limits(data, tmp_path):
    def rebuild(pictures: np.ndarray) -> np.ndarray:
        batches.append(len(pictures))
        return pictures // 8 * 8

    pairs, batches = data.pairs("test"), []
    folders = base.write_limits(tmp_path, data, pairs, rebuild)
    assert list(folders) == list(LIMITS)
    assert batches == [6]  # every target once, though each answers two pairs
    for source, target in pairs:
        truth, rebuilt = (
            np.asarray(Image.open(folders[name] / result_name(source, target)))
            for name in ("truth", "reconstruction")
        )
        assert np.array_equal(truth, data.picture(target))
        assert np.array_equal(rebuilt, truth // 8 * 8)


def test_scores_are_read_back_for_their_own_pairs_alone(data, summary, tmp_path):
    pairs, (scores, table) = data.pairs("test"), summary
    base.write_scores(tmp_path, scores, table, len(pairs))
    again, read = base.read_scores(tmp_path, pairs)
    assert list(again) == [*BASELINES, *LIMITS] and again == {one: scores[one] for one in again}
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    with pytest.raises(DataError, match=r"1\.json: no such file; run the stage `baselines`"):
        base.read_scores(tmp_path, pairs[:1])
    others = [*pairs[1:], (pairs[0][1], pairs[0][1])]
    with pytest.raises(DataError, match="other pairs"):
        base.read_scores(tmp_path, others)


def test_a_name_that_pandas_takes_for_nothing_is_read_back(tmp_path):
    row = {"result": "NA_2_null_vis.png", "person": "None", "source": "NA", "target": "null"}
    table = pd.DataFrame([row | {"ssim": 0.5, "psnr": np.inf, "lpips": np.nan, "row": "truth"}])
    base.write_scores(tmp_path, {name: {} for name in (*BASELINES, *LIMITS)}, table, 1)
    _, read = base.read_scores(tmp_path, [("img/NA.jpg", "img/null.jpg")])
    pd.testing.assert_frame_equal(read, table, check_dtype=False)


def test_the_pairs_are_those_that_the_last_checkpoint_draws(data):
    config, pairs = load_config("profiles/smoke.yaml"), data.pairs("test")
    sample = config.sample.model_copy(update={"checkpoints": {"main": 3, "ablation": None}})
    changed = config.model_copy(update={"sample": sample})
    assert base.pairs_to_draw(changed, pairs) == spread(pairs, 3), "main is trained last"
    sample = config.sample.model_copy(update={"checkpoints": {"ablation": None}})
    changed = config.model_copy(update={"sample": sample})
    assert base.pairs_to_draw(changed, pairs) == pairs

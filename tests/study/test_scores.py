"""A drawing's scores: what is kept of them, and how drawings become arrays."""

import numpy as np
import pytest
from helpers.people import write_dataset
from PIL import Image

from xmdpt.config import ConfigError
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.evaluation import evaluate
from xmdpt.evaluation.evaluate import training_statistics
from xmdpt.metrics.labels import COPY
from xmdpt.study.scores import (
    file_name,
    read_drawings,
    score_drawing,
    scores_of,
    write_scores,
)

PEOPLE = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    return DeepFashion(write_dataset(root, people=2 + PEOPLE, test_people=PEOPLE), 64)


@pytest.fixture(scope="module")
def train(data):
    return training_statistics(data.root, "synthetic", (64, 64), progress=False)


@pytest.fixture(scope="module")
def drawn(data, tmp_path_factory):
    """The sources of all pairs, as if they were results."""
    folder = tmp_path_factory.mktemp("drawn")
    for source, target in data.pairs("test"):
        Image.fromarray(data.picture(source)).save(folder / result_name(source, target))
    return folder


@pytest.fixture(scope="module")
def drawing(data, train, drawn):
    return score_drawing(drawn, data.root, train)


def test_means_over_people_and_whole_distances_are_those_of_evaluate(data, train, drawn, drawing):
    values = evaluate(drawn, data.root, train, "synthetic", progress=False)
    assert drawing["count"] == values["count"] and len(drawing["people"]) == PEOPLE
    for metric in ("st_lpips", "ssim", "psnr", "silhouette_iou", "sharpness"):
        assert np.mean(drawing["means"][metric]) == pytest.approx(values[metric], rel=1e-4), metric
    for metric, distance in drawing["distances"].items():
        assert distance["whole"] == pytest.approx(values[metric], rel=1e-4)
        assert len(distance["without"]) == PEOPLE


def test_a_distance_without_a_person_is_that_of_the_others(data, train, drawn, drawing, tmp_path):
    first = sorted(drawing["people"])[0]
    for path in drawn.iterdir():
        if not path.name.split("_2_")[1].startswith(first):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(list(tmp_path.iterdir())) == drawing["count"] * (PEOPLE - 1) / PEOPLE
    others = evaluate(tmp_path, data.root, train, "synthetic", progress=False)
    for metric, distance in drawing["distances"].items():
        assert distance["without"][0] == pytest.approx(others[metric], rel=1e-4)


def changed(drawing, shift):
    """The same scores, those of single pictures higher by `shift`."""
    means = {
        metric: [value + shift for value in values] for metric, values in drawing["means"].items()
    }
    return drawing | {"means": means}


@pytest.fixture
def kept(drawing, tmp_path):
    shifts = {(COPY, 0): 9, ("row", 0): 0, ("row", 1): 1, ("other", 0): 2, ("other", 1): 4}
    for (row, seed), shift in (shifts | {("unfinished", 1): 0}).items():
        write_scores(tmp_path / file_name(row, seed), changed(drawing, shift))
    return tmp_path


def test_rows_with_all_seeds_become_arrays(kept, drawing):
    scores = scores_of(read_drawings(kept), kept, ["st_lpips", "fd_effnet"], [0, 1])
    of_pictures, of_sets = scores.values()
    assert of_pictures.rows == of_sets.rows == ("other", "row"), "the third lacks a seed"
    own = np.array(drawing["means"]["st_lpips"])
    np.testing.assert_allclose(of_pictures.values[1], [own, own + 1])
    np.testing.assert_allclose(of_pictures.values[0], [own + 2, own + 4])
    np.testing.assert_allclose(of_pictures.copy, own + 9)
    assert of_pictures.mean("other") == pytest.approx(own.mean() + 3)
    assert of_sets.values.shape == (2, 2, PEOPLE)


def test_mistakes_name_the_file(kept, drawing):
    path = kept / "row-1.json"
    whole = path.read_text()
    path.unlink()
    write_scores(path, drawing | {"people": drawing["people"][1:]})
    with pytest.raises(ConfigError, match=r"row-1\.json: scores of other people"):
        scores_of(read_drawings(kept), kept, ["ssim"], [0, 1])
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"row-1\.json: not a drawing's scores"):
        scores_of(read_drawings(kept), kept, ["ssim"], [0, 1])
    count = f'"count": {drawing["count"]}'
    assert count in whole
    path.write_text(whole.replace(count, '"count": 7'))
    with pytest.raises(ConfigError, match=r"row-1\.json: changed since it was measured"):
        scores_of(read_drawings(kept), kept, ["ssim"], [0, 1])


def test_nothing_to_read(tmp_path):
    with pytest.raises(ConfigError, match="no scores of copy_source"):
        scores_of(read_drawings(tmp_path), tmp_path, ["ssim"], [0])


def test_no_row_may_have_all_seeds_yet(kept):
    assert scores_of(read_drawings(kept), kept, ["ssim"], [0, 1, 2])["ssim"].rows == ()

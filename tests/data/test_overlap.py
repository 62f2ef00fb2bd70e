"""What the two splits share: names, and pictures that are nearly the same."""

import json
import shutil

import numpy as np
import pytest
from helpers.datasets import NAME, TEST_NAME, index_of
from helpers.people import SIZE
from PIL import Image

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.overlap import (
    closest_across,
    near_across,
    near_pairs,
    overlap_of,
    shared_names,
    thumbnail,
)
from xmdpt.data.prepare import make_index, overlap_tables
from xmdpt.data.survey import survey
from xmdpt.support.arguments import BadInput


def test_shared_names():
    def name(number, colour, view="1_front"):
        return f"img/MEN/Tees_Tanks/id_{number:08d}/{colour:02d}_{view}.jpg"

    train = [name(1, 1), name(2, 1), name(2, 2)]
    test = [name(1, 2), name(3, 1), name(2, 1, "2_side")]
    shared = shared_names(train, test)
    assert shared["pictures"] == ([], 3)
    assert shared["outfits"] == (["MEN/Tees_Tanks/00000002/01"], 3)
    assert shared["items"] == (["id_00000001", "id_00000002"], 3)


def pictures_in_grey():
    """Noise of 64x64, the same through JPEG's eyes, and other noise."""
    noise = np.random.default_rng(0).integers(0, 250, (3, 64, 64, 3)).astype(np.uint8)
    return {"a": noise[0], "a again": noise[0] + (noise[0] % 2), "b": noise[1], "c": noise[2]}


def test_nearly_the_same_pictures_are_found():
    pictures = pictures_in_grey()
    thumbnails = {name: thumbnail(Image.fromarray(p)) for name, p in pictures.items()}
    pairs = [("a", "b"), ("a", "a again"), ("b", "c"), ("a again", "a")]
    expected = round(float((pictures["a"] % 2).mean()), 3)
    found = near_pairs(pairs, thumbnails, pictures.get)
    assert found == [("a", "a again", expected), ("a again", "a", expected)]
    across = near_across(["b", "a"], ["c", "a again"], thumbnails, pictures.get)
    assert across == [("a", "a again", expected)]


def test_alike_in_small_is_not_enough():
    """A checkerboard has the thumbnail of flat grey."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    pictures = {
        "board": np.repeat(board[..., None], 3, axis=2).astype(np.uint8),
        "grey": np.full((64, 64, 3), 128, np.uint8),
    }
    thumbnails = {name: thumbnail(Image.fromarray(p)) for name, p in pictures.items()}
    assert np.abs(thumbnails["board"].astype(int) - thumbnails["grey"]).max() <= 1
    assert near_pairs([("board", "grey")], thumbnails, pictures.get) == []
    assert near_across(["board"], ["grey"], thumbnails, pictures.get) == []


def test_the_nearest_training_picture_is_found_once_for_each_test_picture():
    train = {"dark": np.full((4, 4), 10.0), "light": np.full((4, 4), 200.0)}
    test = {"black": np.zeros((4, 4)), "grey": np.full((4, 4), 120.0)}
    found = closest_across(list(train), list(test), train | test, 10)
    assert found == [("dark", "black"), ("light", "grey")]


def test_an_index_is_asked_for_its_overlaps(people, tmp_path):
    """The same with an index as without, and with one no picture is read."""
    shutil.copy(people / NAME, people / TEST_NAME)
    made = json.loads(json.dumps(overlap_of(DeepFashion(people, SIZE))))
    assert made["closest"][0] == [NAME, TEST_NAME] and len(made["closest"]) == 3
    index = index_of(people, tmp_path / "index")
    shutil.rmtree(people)
    assert overlap_of(index) == made
    (index.root / "overlap.json").write_text('{"shared": ')
    with pytest.raises(BadInput, match=r"overlap.json: empty, or not whole; run .*`prepare` again"):
        overlap_of(index)


def test_the_report(people, tmp_path):
    shutil.copy(people / NAME, people / TEST_NAME)  # a test picture that is in training too
    shutil.copy(people / NAME, people / NAME.replace("01_0", "01_1"))
    overlap = make_index(survey(people, SIZE), tmp_path / "index", progress=iter)
    assert overlap["shared"] == {"pictures": [], "outfits": [], "items": []}
    assert overlap["of_test"] == {"pictures": 3, "outfits": 1, "items": 1}
    twin = NAME.replace("01_0", "01_1")
    assert sorted(overlap["near_pairs"]["train"]) == [(NAME, twin, 0.0), (twin, NAME, 0.0)]
    assert overlap["near_pairs"]["test"] == []
    assert overlap["near_across"] == [(NAME, TEST_NAME, 0.0), (twin, TEST_NAME, 0.0)]
    stored = json.loads((tmp_path / "index/overlap.json").read_text())
    assert stored["near_across"] == [list(pair) for pair in overlap["near_across"]]
    counts, *lists = overlap_tables(overlap).values()
    assert counts["of the test set"].tolist() == [3, 1, 1]
    assert [len(table) for table in lists] == [2, 0, 2]

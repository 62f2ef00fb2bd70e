"""Folders of results: names, pairing with references, training pictures."""

from pathlib import Path

import pytest
from PIL import Image

from xmdpt.data.deepfashion import DataError
from xmdpt.data.pairs import mangle, possible_pairs, result_name
from xmdpt.evaluation import evaluate, evaluate_pairs
from xmdpt.evaluation.results import Match, batches, match_results, training_pictures

FRONT, SIDE = (f"img/WOMEN/Tees_Tanks/id_00000007/01_{v}.jpg" for v in ("1_front", "2_side"))


def test_mangled_names():
    assert mangle("img/WOMEN/Dresses/id_00007132/04_4_full.jpg") == (
        "fashionWOMENDressesid0000713204_4full"
    )
    tees = "fashionMENTees_Tanksid0000730104_7additional"
    for path in (
        "/data/256/img/MEN/Tees_Tanks/id_00007301/04_7_additional.png",
        "MEN\\Tees_Tanks\\id_00007301\\04_7_additional.jpg",
        Path("flat") / f"{tees}.jpg",
        f"deep{tees}.jpg",
        tees,
    ):
        assert mangle(path) == tees
    assert mangle("holiday/me at the sea.JPG") == "me at the sea"


def test_result_names_round_trip():
    name = result_name(FRONT, SIDE)
    assert name == "fashionWOMENTees_Tanksid0000000701_1front_2_" + (
        "fashionWOMENTees_Tanksid0000000701_2side_vis.png"
    )
    assert possible_pairs(name) == [(mangle(FRONT), mangle(SIDE))]
    assert possible_pairs(result_name("me.jpg", "you.png")) == [("me", "you")]


@pytest.mark.parametrize(
    "pattern",
    [
        "{a}_2_{b}_vis.png",
        "{a}_2_{b}_vis.jpg",
        "{a}_2_{b}.png",
        "{a}.jpg_2_{b}.jpg.png",
        "{a}.jpg_2_{b}.jpg_vis.png",
        "{a}_to_{b}.png",
        "{a}.jpg___{b}.jpg_vis.png",
        "deep{a}_2_deep{b}_vis.png",
    ],
)
def test_result_names_of_other_methods(pattern):
    a, b = "fashionMENShorts_Xid0000730104_7additional", "fashionMENShorts_Xid0000730104_1front"
    assert possible_pairs(pattern.format(a=a, b=b)) == [(a, b)]


@pytest.mark.parametrize(
    ("name", "meanings"), [("grid.png", 0), ("_2_b.png", 0), ("a_2_b_2_c_vis.png", 2)]
)
def test_names_that_are_not_one_pair(name, meanings):
    assert len(possible_pairs(name)) == meanings


def test_ambiguous_names_are_resolved_by_the_pictures_there(tmp_path):
    """`_2_` in a name is no separator where no picture is called what would stand beside it."""
    (tmp_path / "made").mkdir()
    (tmp_path / "truth").mkdir()
    names = ["anna_1", "anna_2", "anna_3", "2_anna_3"]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / f"truth/{name}.png")
    pairs = [("anna_1", "anna_2"), ("anna_2", "anna_1"), ("anna_2", "anna_3")]
    for pair in pairs:
        Image.new("RGB", (8, 8)).save(tmp_path / "made" / result_name(*pair))
    assert len(possible_pairs(result_name("anna_2", "anna_3"))) == 2
    found = {match.pair for match in match_results(tmp_path / "made", tmp_path / "truth")}
    assert found == {*pairs}


def test_missing_references_are_reported(data, results, tmp_path):
    first = sorted(results.iterdir())[0]
    (tmp_path / "grid.png").write_bytes(first.read_bytes())
    lonely = result_name(FRONT, FRONT.replace("id_00000007", "id_00000099"))
    (tmp_path / lonely).write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"<source>_2_<target>_vis\.png") as error:
        evaluate(tmp_path, data.root, protocol="synthetic", progress=False)
    assert str(tmp_path) in str(error.value) and str(data.root) in str(error.value)
    (tmp_path / first.name).write_bytes(first.read_bytes())
    with pytest.warns(UserWarning) as caught:
        table = evaluate_pairs(tmp_path, data.root, "synthetic", progress=False)
    assert len(table) == 1
    messages = [str(warning.message) for warning in caught]
    assert any("1 pictures" in message and "grid.png" in message for message in messages)
    assert any(f"1 results in {tmp_path} have no reference" in text for text in messages)
    with pytest.raises(DataError, match="no such folder"):
        evaluate(tmp_path / "nothing", data.root)


@pytest.mark.parametrize(
    "target, person",
    [
        ("fashionMENTees_Tanksid0000730104_7additional", "fashionMENTees_Tanksid00007301"),
        ("0002_c2s1_000776_01", "0002"),
        ("anna-1", "anna-1"),
    ],
)
def test_who_is_shown(target, person):
    """Intervals draw whole people: DeepFashion's items, Market-1501's persons."""
    assert Match(Path("a.png"), "someone", target).person == person


def test_batches():
    assert [len(b) for b in batches(range(10), 4)] == [4, 4, 2]
    assert [len(b) for b in batches(range(10), 4, drop_last=True)] == [4, 4]
    assert [len(b) for b in batches(range(3), 4, drop_last=True)] == [3]
    assert not list(batches([], 4, drop_last=True))


def test_training_pictures(data, tmp_path):
    assert len(training_pictures(data.root)) == 18  # those of train.lst
    assert len(training_pictures(data.root / "img")) == 24
    with pytest.raises(ValueError, match="has 0"):
        training_pictures(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fasionWOMENTees_Tanksid0000000601_1front", "wants fasionWOMENTees_Tanksid0000000601_1"),
        ("fashionwomenTees_Tanksid0000000601_1front", "wants fashionwomenTees_Tanksid00000006"),
    ],
)
def test_names_that_do_not_meet_are_shown_beside_each_other(data, tmp_path, name, words):
    Image.new("RGB", (64, 64)).save(tmp_path / result_name(name, name))
    with pytest.raises(DataError) as caught:
        match_results(tmp_path, data.root)
    assert words in str(caught.value)
    near = "img/WOMEN/Tees_Tanks/id_00000006/01_1_front.jpg"
    assert f"and the closest reference is {near}" in str(caught.value)


def test_results_without_a_name_or_as_heic_are_named(data, tmp_path):
    (tmp_path / "a_2_b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=r"a_2_b\.heic is HEIC, which is not read"):
        match_results(tmp_path, data.root)
    Image.new("RGB", (64, 64)).save(tmp_path / "grid.png")
    with pytest.raises(DataError, match=r"; the first is grid\.png$"):
        match_results(tmp_path, data.root)

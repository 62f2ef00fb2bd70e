"""Pieces of the paper's figures: grids, the people in them, and why a pair failed."""

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.networks import make_pipeline
from helpers.people import SIZE
from helpers.repository import PROFILES, ROOT
from helpers.results import results_of
from PIL import Image

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import item, mangle, result_name, views_of_people
from xmdpt.lessons.people import FIRST_PERSON
from xmdpt.metrics.images import silhouette
from xmdpt.paper.drawing import draw_cases
from xmdpt.paper.exhibits import DPI
from xmdpt.paper.failures import (
    Diagnosis,
    diagnose,
    joints_off,
    reason_table,
    shared_colours,
    worst_pairs,
)
from xmdpt.paper.figures import (
    common_pairs,
    drawn_pairs,
    invariance_figure,
    picture_grid,
    scaling_figure,
)
from xmdpt.paper.people import FIRST_STRANGER, photos, score_pictures, spread_of, stranger
from xmdpt.paper.scores import Results
from xmdpt.paper.views import Views, distance_table, draw_views, views_figure
from xmdpt.photos.loading import PhotoError

SQUARE = (slice(8, 24), slice(8, 24))


def person(colour: tuple[int, int, int]) -> np.ndarray:
    """A square of one colour on white, uint8 (32, 32, 3)."""
    picture = np.full((32, 32, 3), 255, np.uint8)
    picture[SQUARE] = colour
    return picture


# Grids and files


def test_a_grid_keeps_its_gaps_and_labels():
    rows = {"source": [person((9, 9, 9))] * 3, "drawn": [None, person((9, 90, 9))]}
    figure = picture_grid(rows, "a title", columns=["first", "second"])
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0, 1, 0]
    assert [figure.axes[0].get_ylabel(), figure.axes[3].get_ylabel()] == ["source", "drawn"]
    assert [axes.get_title() for axes in figure.axes[:3]] == ["first", "second", ""]


def test_results_of_any_size_are_found_by_the_names_of_the_pair(tmp_path):
    pair, absent = ("img/a.jpg", "img/b.jpg"), ("img/b.jpg", "img/a.jpg")
    Image.fromarray(person((200, 0, 0))).save(tmp_path / result_name(*pair))
    found, missing = drawn_pairs(tmp_path, [pair, absent], 16)
    assert found.shape == (16, 16, 3) and found[8, 8, 0] > 190 and missing is None
    assert common_pairs([tmp_path, tmp_path], [pair, absent]) == [pair]
    assert common_pairs([tmp_path, tmp_path / "none"], [pair]) == []
    Image.fromarray(person((0, 0, 200))).save(tmp_path / "b.jpg___a.jpg")
    (tmp_path / "notes.png").write_text("no pair's name, so never opened")
    assert drawn_pairs(tmp_path, [absent], 16)[0][8, 8, 2] > 190


def test_large_pictures_keep_their_pixels():
    small = picture_grid({"source": [person((9, 9, 9))] * 2}, "a title")
    large = picture_grid({"source": [np.zeros((512, 512, 3), np.uint8)] * 2}, "a title")
    assert large.get_figwidth() * DPI > 2 * 512 > small.get_figwidth() * DPI


def test_scaling_shows_the_intervals_of_ours(monkeypatch, tmp_path):
    row = {
        "st_lpips": 0.3,
        "fd_effnet": 90.0,
        "low": {"st_lpips": 0.28},
        "high": {"st_lpips": 0.33},
    }
    monkeypatch.setattr(Results, "rows", lambda self, run: {"main": row} if run == "base_b" else {})
    figure = scaling_figure(results_of(tmp_path))
    axes = {axes.get_title(): axes for axes in figure.axes}
    (bar,) = [one for one in axes["st_lpips ↓"].containers if one[0].get_xdata().size]
    assert list(bar[0].get_ydata()) == [0.3]
    [[(_, low), (_, high)]] = bar[2][0].get_segments()
    assert (low, high) == pytest.approx((0.28, 0.33))
    assert list(axes["LPIPS ↓"].containers[1][0].get_ydata()) == [0.1875, 0.1734, 0.1589]
    assert [text.get_text() for text in axes["PSNR ↑"].texts] == ["not printed"]


def test_a_line_that_fid_lacks_is_in_the_legend(monkeypatch, tmp_path):
    interval = {"low": {"st_lpips": 0.2}, "high": {"st_lpips": 0.4}}
    rows = {"main": {"st_lpips": 0.3} | interval}
    monkeypatch.setattr(Results, "rows", lambda self, run: rows)
    figure = scaling_figure(results_of(tmp_path))
    assert "ours: main checkpoint" in [text.get_text() for text in figure.legends[0].texts]


def test_scaling_sets_no_distances_over_different_numbers_of_pictures_side_by_side(
    monkeypatch, tmp_path
):
    interval = {"low": {"st_lpips": 0.2}, "high": {"st_lpips": 0.4}}
    counts = {"size_s": 280, "base_b": 280, "size_l": 40}
    rows = {
        run: {"main": {"st_lpips": 0.3, "fd_effnet": 90.0, "count": count} | interval}
        for run, count in counts.items()
    }
    monkeypatch.setattr(Results, "rows", lambda self, run: rows[run])
    figure = scaling_figure(results_of(tmp_path))
    axes = {axes.get_title(): axes for axes in figure.axes}
    for title, points in {"st_lpips ↓": 3, "fd_effnet ↓": 2}.items():
        assert [len(one[0].get_xdata()) for one in axes[title].containers] == [points]
    said = [text.get_text() for text in figure.legends[0].texts]
    assert not [text for text in said if "ours" in text and "ablations' checkpoint" in text]


def test_the_control_of_figure_5_stands_beside_it():
    history = {"step": [1, 2], "cosine_person": [0.9, 1.0], "cosine_people": [0.8, 0.7]}
    left, right = invariance_figure({"B": pd.DataFrame(history)}).axes
    assert list(left.lines[0].get_ydata()) == [0.9, 1.0]
    assert list(right.lines[0].get_ydata()) == [0.8, 0.7]
    assert left.get_xlabel() == "training step"
    places = left.transData.transform([(0, 0.9), (0, 0.99), (0, 0.999)])[:, 1]
    assert np.diff(places, 2) == pytest.approx(0), "each nine has the same room"
    top = left.transAxes.transform((0, 1))[1]
    assert left.transData.transform((0, 1.0))[1] <= top + 1e-6, "a collapse is seen"


def test_no_two_runs_of_figure_5_look_alike():
    history = pd.DataFrame({"step": [1], "cosine_person": [0.9], "cosine_people": [0.8]})
    left, _ = invariance_figure({str(number): history for number in range(12)}).axes
    assert len({(one.get_color(), one.get_marker()) for one in left.lines[:12]}) == 12


# People


def test_the_spread_of_equal_pictures_is_nothing():
    one, other = person((200, 0, 0)), person((0, 0, 200))
    assert spread_of([one, one]) == pytest.approx(0, abs=1e-6)
    assert np.isnan(spread_of([one]))
    # Of three pairs, the two that differ do so alike.
    assert spread_of([one, one, other]) == pytest.approx(2 / 3 * spread_of([one, other]), rel=1e-4)


def test_the_truth_scores_best():
    truth = np.stack([person((200, 0, 0)), person((0, 200, 0))])
    same, turned = score_pictures(truth, truth), score_pictures(np.flip(truth, 0).copy(), truth)
    assert same["ssim"] == pytest.approx(1) and same["silhouette_iou"] == 1
    assert same["st_lpips"] == pytest.approx(0, abs=1e-6)
    assert turned["st_lpips"] > 0.01
    assert turned["psnr"] < same["psnr"] and turned["silhouette_iou"] == 1


def test_a_stranger_differs_only_in_what_its_kind_names():
    usual = stranger(0, 0, "as in training", 64)
    wall = stranger(0, 0, "grey wall", 64)
    assert usual.shape == (64, 64, 3)
    corner = (slice(0, 4), slice(0, 4))
    assert (wall[corner] == 150).all() and (usual[corner] > 240).all()
    inside = silhouette(usual)[20:44, 28:36]
    assert np.abs(wall.astype(int) - usual)[20:44, 28:36][inside].mean() < 5
    for kind in ("green skin", "giant dots", "billowing cut"):
        assert not np.array_equal(stranger(0, 0, kind, 64), usual)


def test_photos_of_any_size_are_shown_whole(tmp_path):
    Image.new("RGB", (300, 100), (200, 0, 0)).save(tmp_path / "wide.png")
    (tmp_path / "README.md").write_text("what belongs here")
    (tmp_path / ".DS_Store").write_bytes(b"")
    ((name, photo),) = photos(tmp_path, 64).items()
    assert name == "wide.png" and photo.shape == (64, 64, 3)
    assert (photo[0] == 255).all() and photo[32, 1, 1] < 10, "white above, the photo to its edges"
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        photos(tmp_path, 64)


def test_all_views_and_the_control_are_drawn_in_one_pose_with_one_noise(people, tiny_vae):
    pipe = make_pipeline(tiny_vae)
    config = load_config(ROOT / "profiles/smoke.yaml", "base_b")
    sample = config.sample.model_copy(update={"num_inference_steps": 2, "precision": "fp32"})
    config = config.model_copy(update={"sample": sample})
    data = DeepFashion(people, SIZE)
    rows = views_of_people(data.pictures("train"), people=3, views=3)
    views = draw_views(pipe, data, config, rows, place=len(rows) - 1)
    *names, target = rows[-1]
    control = rows[0][0]
    assert views.person == item(target) != item(control)
    assert len(views.drawn) == len(names) and len(views.other_drawn) == 1
    for name, drawn in zip([*names, control], views.drawn + views.other_drawn, strict=True):
        case = (data.picture(name), data.skeleton(target))
        alone = draw_cases(pipe, [case], config, [("views", len(rows) - 1)])[0]
        assert np.abs(alone.astype(int) - drawn).max() <= 1, "rounding depends on the batch"
    (other,) = draw_cases(pipe, [case], config, [("views", 7)])
    assert np.abs(other.astype(int) - drawn).max() > 1, "another key is other noise"


def test_views_stand_beside_what_someone_else_gives():
    red, blue, truth = person((200, 0, 0)), person((0, 0, 200)), person((200, 200, 0))
    whole = Views("id_1", [red, red], [red, blue], [blue], [blue], blue, truth)
    alone = Views("id_2", [red], [red], [], [], blue, truth)
    first, second = distance_table([whole, alone]).to_dict("records")
    apart = spread_of([red, blue])
    assert first["sources"] == pytest.approx(0, abs=1e-6) and first["person"] == "id_1"
    assert first["drawn"] == pytest.approx(apart, rel=1e-4)
    assert first["others"] == pytest.approx(apart / 2, rel=1e-4), "far from one, on the other"
    assert np.isnan([second[key] for key in ("sources", "drawn", "others")]).all()
    axes = views_figure([whole, alone]).axes
    assert [text for text in (one.get_title() for one in axes) if text] == [
        "view 1", "view 2", "someone else", "pose, truth",
    ]  # fmt: skip
    assert [len(one.images) for one in axes[8:12]] == [1, 0, 0, 1]


# Failures


def test_shared_colours_of_known_people():
    red, blue = person((200, 0, 0)), person((0, 0, 200))
    half = red.copy()
    half[8:16, 8:24] = (0, 0, 200)
    assert shared_colours(red, red) == 1 and shared_colours(red, blue) == 0
    assert shared_colours(red, half) == pytest.approx(0.5)


def test_joints_off_the_person_are_counted():
    joints = np.full((18, 2), -1.0)
    joints[:4] = [[16, 16], [10, 20], [1, 1], [30, 30]]
    assert joints_off(person((200, 0, 0)), joints) == 0.5
    assert joints_off(person((200, 0, 0)), np.full((18, 2), -1.0)) == 0


def test_joints_outside_the_picture_are_off_the_person():
    joints = np.full((18, 2), -1.0)
    joints[:4] = [[-5, 16], [16, -5], [36, 16], [16, 36]]
    assert joints_off(person((200, 0, 0)), joints) == 1


def test_reasons_are_given_where_something_is_unusual():
    sound = Diagnosis(missing_joints=2, joints_off=0.1, shared_colours=0.8, face_unseen=False)
    assert sound.reasons == []
    unusual = Diagnosis(missing_joints=7, joints_off=0.5, shared_colours=0.2, face_unseen=True)
    assert len(unusual.reasons) == 4 and "7 joints missing" in unusual.reasons


def test_the_worst_pairs_come_back_under_their_own_names(people):
    data = DeepFashion(people, SIZE)
    pairs = data.pairs("test")
    index = pd.MultiIndex.from_tuples(
        [(mangle(source), mangle(target)) for source, target in pairs]
    )
    values = np.linspace(0.1, 0.6, len(pairs))
    scored = pd.DataFrame({"st_lpips": values}, index=index)
    worst = worst_pairs(scored, pairs, "st_lpips", 2)
    assert list(worst) == [pairs[-1], pairs[-2]]
    assert list(worst.values()) == pytest.approx([values[-1], values[-2]])
    assert diagnose(data, *pairs[0]).shared_colours > 0.9, "one person in one colour"
    table = reason_table(data, scored, "st_lpips")
    tenth, everything = "of the worst tenth (1 seen)", f"of all ({len(pairs)} seen)"
    assert list(table.columns) == ["likely cause", tenth, everything]
    some = reason_table(data, scored, "st_lpips", limit=2)
    assert list(some.columns) == ["likely cause", tenth, "of all (2 seen)"]
    assert table["likely cause"].iloc[-1].startswith("none")


def test_strangers_and_lesson_people_are_in_no_training_set():
    training = [ROOT / "params.yaml", *PROFILES, *(ROOT / "data/pretrained").glob("*.yaml")]
    for path in training:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        rendered = (tree.get("data") or {}).get("rendered")
        if rendered:
            first = rendered.get("first_identity", 0)
            numbers = range(first, first + rendered["identities"])
            assert FIRST_STRANGER not in numbers and FIRST_STRANGER + 99 not in numbers, path
            assert FIRST_PERSON not in numbers and FIRST_PERSON - 1 not in numbers, path

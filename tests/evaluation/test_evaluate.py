"""Scoring folders: names, pairing, protocols, baselines, intervals."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import stats

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.pairs import (
    mangle,
    parse_result_name,
    possible_pairs,
    result_name,
    spread,
)
from xmdpt.evaluation import baselines as base
from xmdpt.evaluation import evaluate, evaluate_pairs
from xmdpt.evaluation.protocols import get_protocol
from xmdpt.evaluation.results import (
    Match,
    batches,
    find_pictures,
    match_results,
    training_pictures,
)
from xmdpt.evaluation.summary import (
    paired_gains,
    score_figure,
    score_frame,
    score_table,
    summarise,
)
from xmdpt.metrics.images import psnr, ssim
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.labels import BASELINES, LIMITS, comparable

SIZE = 64
VIEWS = ("1_front", "2_side", "3_back")


def name_of(identity: int, view: str) -> str:
    return f"img/WOMEN/Tees_Tanks/id_{identity:08d}/01_{view}.jpg"


def figure(identity: int, lean: int) -> Image.Image:
    """A coloured person of a head, a body and two legs on white, 88x128."""
    rng = np.random.default_rng(identity)
    shirt, trousers = (tuple(int(v) for v in rng.integers(20, 220, 3)) for _ in range(2))
    picture = Image.new("RGB", (88, 128), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((36 + lean, 10, 52 + lean, 30), fill=(200, 150, 120))
    draw.rectangle((32 + lean // 2, 31, 56 + lean // 2, 75), fill=shirt)
    draw.polygon([(33, 76), (43, 76), (40 - lean, 120), (30 - lean, 120)], fill=trousers)
    draw.polygon([(45, 76), (55, 76), (58 + lean, 120), (48 + lean, 120)], fill=trousers)
    return picture


def pose_of(lean: int) -> np.ndarray:
    pose = np.full((18, 2), -1.0)
    pose[[0, 1, 8, 11]] = [[44 + lean, 20], [44 + lean, 32], [36, 76], [52, 76]]
    pose[[10, 13]] = [[35 - lean, 118], [53 + lean, 118]]
    return np.where(pose == -1, -1, pose * 2 + [40, 0])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> DeepFashion:
    """Six training people and two test people in three views, in DeepFashion's layout."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("people")
    for identity in range(8):
        for number, view in enumerate(VIEWS):
            lean = 5 * (number - 1) + (identity % 4 if identity < 6 else 0)
            path = root / name_of(identity, view)
            path.parent.mkdir(parents=True, exist_ok=True)
            figure(identity, lean).save(path, quality=95)
            pose = root / "pose" / Path(name_of(identity, view)).relative_to("img")
            pose.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(pose.with_suffix(".txt"), pose_of(lean))
    for split, people in (("train", range(6)), ("test", range(6, 8))):
        names = [name_of(identity, view) for identity in people for view in VIEWS]
        (root / f"{split}.lst").write_text("\n".join(names) + "\n")
        pairs = [
            f"{a},{b}" for a in names for b in names if a != b and Path(a).parent == Path(b).parent
        ]
        (root / f"{split}_pairs.txt").write_text("\n".join(pairs) + "\n")
    return DeepFashion(root, SIZE)


@pytest.fixture(scope="module")
def results(data, tmp_path_factory) -> Path:
    """For each test pair the true target with a little noise, as results."""
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    for source, target in data.pairs("test"):
        noisy = data.picture(target) + rng.normal(0, 1, (SIZE, SIZE, 3))
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(folder / result_name(source, target))
    return folder


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
    source, target = name_of(7, "1_front"), name_of(7, "2_side")
    name = result_name(source, target)
    assert name == "fashionWOMENTees_Tanksid0000000701_1front_2_" + (
        "fashionWOMENTees_Tanksid0000000701_2side_vis.png"
    )
    assert parse_result_name(name) == (mangle(source), mangle(target))
    assert parse_result_name(result_name("me.jpg", "you.png")) == ("me", "you")


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
def test_foreign_result_names(pattern):
    a, b = "fashionMENShorts_Xid0000730104_7additional", "fashionMENShorts_Xid0000730104_1front"
    assert parse_result_name(pattern.format(a=a, b=b)) == (a, b)


@pytest.mark.parametrize("name", ["grid.png", "a_2_b_2_c_vis.png", "_2_b.png"])
def test_names_that_are_no_pairs(name):
    with pytest.raises(ValueError, match="is not a result's name"):
        parse_result_name(name)


def test_numbered_names_are_told_apart_by_what_is_there(tmp_path):
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


def test_synthetic_protocol(data, results):
    values = evaluate(results, data.root, data.root, "synthetic", progress=False)
    metrics = ["ssim", "psnr", "silhouette_iou", "st_lpips", "fd_effnet", "kd_effnet", "count"]
    assert list(values) == metrics
    assert all(type(value) is float and np.isfinite(value) for value in values.values())
    assert values["count"] == 12 and values["silhouette_iou"] > 0.95
    assert values == evaluate(results, data.root / "img", data.root, "synthetic", progress=False)
    assert "fd_effnet" not in evaluate(results, data.root, None, "synthetic", progress=False)


def test_a_dropped_batch_is_not_in_the_distances(data, results, tmp_path):
    rules = get_protocol("synthetic")
    dropping = replace(rules.frechet[0], batch_size=8, drop_last=True)
    rules = replace(rules, frechet=(dropping,))
    everything = evaluate_pairs(results, data.root, rules, progress=False)
    for name in everything["result"][:8]:
        shutil.copy(results / name, tmp_path)
    all_12, first_8 = (
        evaluate(folder, data.root, data.root, rules, progress=False)
        for folder in (results, tmp_path)
    )
    for key in ("fd_effnet", "kd_effnet"):
        assert all_12[key] == pytest.approx(first_8[key])


def test_a_picture_of_several_pairs_is_one_draw(data, tmp_path):
    """Each target stands in two pairs: the kernel distance is that of the six targets, once."""
    limits = base.write_limits(tmp_path / "limits", data, data.pairs("test"), lambda x: x)
    once = {target: (source, target) for source, target in data.pairs("test")}
    (tmp_path / "once").mkdir()
    for pair in once.values():
        shutil.copy(limits["truth"] / result_name(*pair), tmp_path / "once")
    score = partial(evaluate, reference_dir=data.root, train_dir=data.root, protocol="synthetic")
    twice, single = (
        score(folder, progress=False)["kd_effnet"]
        for folder in (limits["truth"], tmp_path / "once")
    )
    assert len(once) == 6 and twice == pytest.approx(single)


def test_perfect_results(data, tmp_path):
    for source, target in data.pairs("test"):
        Image.fromarray(data.picture(target)).save(tmp_path / result_name(source, target))
    values = evaluate(tmp_path, data.root, protocol="synthetic", progress=False)
    assert values["ssim"] == pytest.approx(1) and values["silhouette_iou"] == 1
    assert values["st_lpips"] == 0 and values["psnr"] == float("inf")


def test_references_may_be_flat_and_foreign_names_mix(data, results, tmp_path):
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


def test_missing_references_are_reported(data, results, tmp_path):
    (tmp_path / "grid.png").write_bytes(next(results.iterdir()).read_bytes())
    lonely = result_name(name_of(6, "1_front"), name_of(99, "1_front"))
    (tmp_path / lonely).write_bytes(next(results.iterdir()).read_bytes())
    with pytest.raises(ValueError, match=r"<source>_2_<target>_vis\.png") as error:
        evaluate(tmp_path, data.root, protocol="synthetic", progress=False)
    assert str(tmp_path) in str(error.value) and str(data.root) in str(error.value)
    first = sorted(results.iterdir())[0]
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
    with pytest.raises(ValueError, match="no pictures"):
        training_pictures(tmp_path)


def test_pose_distance():
    pose = pose_of(0)
    moved = np.where(pose == -1, -1, pose + np.array([3, 4]))
    fewer = pose.copy()
    fewer[0] = -1
    distances = base.pose_distances(pose, np.stack([pose, moved, fewer]))
    np.testing.assert_allclose(distances, [0, 5, base.MISMATCH / 6])
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
    assert abs(made["mean_picture"][0, 0].astype(int) - 255).max() <= 1
    # Training people 0 and 4 hold exactly the poses of test people: the first of them is taken.
    view = Path(target).stem[3:]
    assert np.array_equal(made["nearest_pose"], data.picture(name_of(0, view)))
    assert all(len(find_pictures(folder)) == len(pairs) for folder in folders.values())


def coarse(pictures: np.ndarray) -> np.ndarray:
    """What an autoencoder does to pictures, in the simplest way: 32 grey levels."""
    return pictures // 8 * 8


def test_limits(data, tmp_path):
    pairs = data.pairs("test")
    batches = []
    folders = base.write_limits(
        tmp_path, data, pairs, lambda pictures: batches.append(len(pictures)) or coarse(pictures)
    )
    assert list(folders) == list(LIMITS)
    assert batches == [6]  # every target once, though each answers two pairs
    for source, target in pairs:
        truth, rebuilt = (
            np.asarray(Image.open(folders[name] / result_name(source, target)))
            for name in ("truth", "reconstruction")
        )
        assert np.array_equal(truth, data.picture(target))
        assert np.array_equal(rebuilt, coarse(truth))


def test_summary(data, results, tmp_path):
    folders = {"main": results} | base.write_baselines(tmp_path, data, data.pairs("test"))
    folders |= base.write_limits(tmp_path, data, data.pairs("test"), coarse)
    scores, table = summarise(folders, data.root, data.root, "synthetic", 0, progress=False)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    frame = score_frame(scores)
    assert list(frame.index) == ["main", *BASELINES, *LIMITS]
    assert {"ssim", "st_lpips", "fd_effnet", "ssim_pidm", "psnr_pidm"} <= set(frame.columns)
    answers = frame.drop(index=list(LIMITS))
    assert answers["ssim"].idxmax() == "main" and answers["st_lpips"].idxmin() == "main"
    assert set(scores["truth"]) == {"fd_effnet", "kd_effnet", "count"}
    # Results that are the truth but for a little noise are at about the same distance.
    assert scores["truth"]["fd_effnet"] == pytest.approx(scores["main"]["fd_effnet"], rel=0.3)
    for name in frame.index.drop("truth"):
        row = scores[name]
        assert all(row["low"][key] <= row[key] <= row["high"][key] for key in row["low"])
        assert "fd_effnet" not in row["low"]
    assert table.groupby("row").size().to_dict() == dict.fromkeys(folders, len(data.pairs("test")))
    means = table.groupby("row")["ssim"].mean()
    assert means["main"] == pytest.approx(scores["main"]["ssim"], rel=1e-4)
    table = score_table(scores, "Rendered people.")
    assert (
        f"**{scores['main']['ssim']:.3f}** ({scores['main']['low']['ssim']:.3f} to " in table
        and table.endswith("Rendered people.")
    )
    assert "ssim ↑" in table and "st_lpips ↓" in table
    lines = {line.split()[1]: line for line in table.splitlines() if line.startswith("| ")}
    assert all("**" not in lines[name] for name in LIMITS)
    figure_ = score_figure(scores)
    assert len(figure_.axes) == len(frame.columns)
    figure_.savefig(tmp_path / "a.png")


def test_rows_over_fewer_pairs_do_not_compete():
    def row(ssim: float, count: int) -> dict:
        ends = {"low": {"ssim": ssim - 0.1}, "high": {"ssim": ssim + 0.1}}
        return {"ssim": ssim, "fd_effnet": 100 * ssim, "count": count} | ends

    scores = {"ablation": row(0.9, 4), "main": row(0.7, 12), "copy_source": row(0.6, 12)}
    scores["truth"] = {"fd_effnet": 9.0, "count": 12}
    assert comparable(scores) == ["main", "copy_source", "truth"]
    heading, _, *lines = score_table(scores, "").splitlines()[:6]
    assert [cell.strip() for cell in heading.split("|")[2:4]] == ["pairs", "fd_effnet ↓"]
    assert [line.split("|")[2].strip() for line in lines] == ["4", "12", "12", "12"]
    assert ["**" in line for line in lines] == [False, True, True, False]
    bars = [patch.get_height() for patch in score_figure(scores).axes[0].patches]
    assert np.isnan(bars[0]) and bars[1:] == [70.0, 60.0, 9.0]
    scores["ablation"]["count"] = 12
    assert "pairs" not in score_table(scores, "") and len(comparable(scores)) == 4
    alone = score_table({"main": row(0.7, 12)}, "")
    assert "**" not in alone, "there is nothing to be better than"


def test_paired_gains_see_what_intervals_of_rows_do_not():
    """People differ far more than methods do; on one and the same pair the difference is small."""
    rng = np.random.default_rng(0)
    pair = {"source": [f"s{n}" for n in range(40)], "target": [f"t{n}" for n in range(40)]}
    people = [f"{n // 2}" for n in range(40)]
    base = pd.DataFrame(pair | {"person": people, "ssim": np.repeat(rng.normal(0.5, 0.2, 20), 2)})
    base = base.assign(st_lpips=base["ssim"], psnr=np.inf, row="copy_source")
    better = base.assign(ssim=base["ssim"] + 0.01, st_lpips=base["st_lpips"] + 0.01, row="main")
    noisy = base.assign(ssim=base["ssim"] + rng.normal(0, 0.1, 40), row="mean_picture")
    table = pd.concat([base, better.sample(frac=1, random_state=0)[:30], noisy])
    gains = paired_gains(table, "main", ["copy_source", "mean_picture"], seed=0)
    assert gains["copy_source"]["ssim"] == pytest.approx((0.01, 0.01))
    assert gains["copy_source"]["st_lpips"] == pytest.approx((-0.01, -0.01)), "lower is better"
    low, high = gains["mean_picture"]["ssim"]
    assert low < 0 < high and "psnr" not in gains["copy_source"]


def test_scores_of_baselines_are_read_back_for_their_pairs_alone(data, tmp_path):
    pairs = data.pairs("test")
    folders = base.write_baselines(tmp_path / "made", data, pairs)
    folders |= base.write_limits(tmp_path / "made", data, pairs, coarse)
    scores, table = summarise(folders, data.root, data.root, "synthetic", 0, progress=False)
    base.write_scores(tmp_path / "scores", scores, table, len(pairs))
    again, read = base.read_scores(tmp_path / "scores", pairs)
    assert again == scores and list(again) == [*BASELINES, *LIMITS]
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    with pytest.raises(DataError, match=r"1\.json: no such file; the stage `baselines`"):
        base.read_scores(tmp_path / "scores", pairs[:1])
    others = [*pairs[1:], (pairs[0][1], pairs[0][1])]
    with pytest.raises(DataError, match="other pairs"):
        base.read_scores(tmp_path / "scores", others)


def test_the_pairs_of_baselines_are_those_of_the_last_checkpoint_that_is_drawn(data):
    config, pairs = load_config("profiles/smoke.yaml"), data.pairs("test")
    sample = config.sample.model_copy(update={"checkpoints": {"main": 3, "ablation": None}})
    changed = config.model_copy(update={"sample": sample})
    assert base.pairs_to_draw(changed, pairs) == spread(pairs, 3), "main is trained last"
    sample = config.sample.model_copy(update={"checkpoints": {"ablation": None}})
    changed = config.model_copy(update={"sample": sample})
    assert base.pairs_to_draw(changed, pairs) == pairs


@pytest.mark.parametrize("count", [8, 20])
def test_an_interval_over_few_is_as_wide_as_students(count):
    values = stats.norm.ppf((np.arange(count) + 0.5) / count)
    low, high = bootstrap_interval(values, seed=0, samples=20_000)
    half = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5
    assert (low, high) == pytest.approx((-half, half), rel=0.05)
    assert bootstrap_interval(values, 0, groups=["all"] * count) == pytest.approx(
        [values.mean()] * 2
    )


def test_bootstrap():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 2, 400)
    low, high = bootstrap_interval(values, seed=0)
    assert (low, high) == bootstrap_interval(values, seed=0) != bootstrap_interval(values, seed=1)
    spread = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - spread, abs=0.05)
    assert high == pytest.approx(values.mean() + spread, abs=0.05)
    # Ten copies of each value are no more evidence than one: groups know, single pairs do not.
    copies, people = np.repeat(values, 10), np.repeat(np.arange(400), 10)
    grouped = bootstrap_interval(copies, seed=0, groups=people)
    assert grouped == pytest.approx((low, high))
    alone = bootstrap_interval(copies, seed=0)
    assert alone[1] - alone[0] < 0.5 * (high - low)
    assert bootstrap_interval([1, np.inf, 1], seed=0) == (1, 1)
    assert all(np.isnan(bootstrap_interval([np.inf], seed=0)))

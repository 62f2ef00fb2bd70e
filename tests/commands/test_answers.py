"""Answers to scripts: JSON alone on standard output, with what people are told."""

import json
import re
import shutil

import numpy as np
import pytest
from helpers.commands import both, xmdpt
from helpers.networks import make_pipeline
from helpers.people import P0, SIZE
from helpers.repository import ROOT
from PIL import Image

from xmdpt.commands.answers import answers
from xmdpt.commands.distill import _key
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.study.design import load_design
from xmdpt.study.scores import write_scores


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone without a finished run."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "profiles/study.yaml", tmp_path / "params.yaml")
    shutil.copy(ROOT / "claims.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_remarks_go_to_standard_error_and_numbers_without_a_name_are_null(capsys):
    with answers(True) as answer:
        print("a remark")
        answer("words", {"a": float("nan"), "b": [1.5, float("inf")]})
    streams = capsys.readouterr()
    assert json.loads(streams.out) == {"a": None, "b": [1.5, None]}
    assert streams.err == "a remark\n"
    with answers(False) as answer:
        print("a remark")
        answer("words", {})
    assert capsys.readouterr().out == "a remark\nwords\n"


def test_versions_and_items(clone, monkeypatch, capsys):
    said, value = both(monkeypatch, capsys, "info")
    for package, number in value["versions"].items():
        assert re.search(rf"^  {package} +{re.escape(number or 'none')}$", said, flags=re.M)
    assert all(item["get_it"] in said or item["at_hand"] for item in value["items"])


def test_profiles(clone, monkeypatch, capsys):
    said, value = both(monkeypatch, capsys, "profile")
    names = [line[2:].split()[0] for line in said.splitlines()]
    assert [*value["profiles"]] == names and value["active"] == "study"
    assert all(about in said for about in value["profiles"].values())
    assert xmdpt(monkeypatch, "profile", "smoke", "--json") == 2


def test_the_state_of_the_study(clone, monkeypatch, capsys):
    rows = [row for row in load_design().rows if row not in load_design().same_weights]
    for number, row in enumerate(rows[:4]):
        scores = {"st_lpips": [0.1, 0.2 + number / 100]}
        drawing = {"commit": "1", "minutes": 6.0 + number, "people": ["a", "b"], "means": scores}
        write_scores(clone / f"runs/{row}-1.json", drawing | {"distances": {}})
    said, value = both(monkeypatch, capsys, "study", "--out", "runs")
    table = {line.split()[0]: line.split()[1:] for line in said.splitlines()[3:-2]}
    for run in value["runs"]:
        cell = table[run["row"]][value["seeds"].index(run["seed"])]
        assert cell == (f"{run['st_lpips']:.4f}" if run["finished"] else "-")
    done = [run for run in value["runs"] if run["finished"]]
    assert [run["row"] for run in done] == rows[:4]
    hours = sum(run["core_minutes"] for run in done) / 60
    assert said.endswith(f"{len(done)} of {len(value['runs'])} runs, {hours:.1f} core-hours of "
                         "training\n")  # fmt: skip


def test_poses_good_and_bad(tmp_path, monkeypatch, capsys):
    points = P0.copy()
    points[4] = -1
    (tmp_path / "poses").mkdir()
    np.savetxt(tmp_path / "poses/a.txt", points)
    np.savetxt(tmp_path / "poses/b.txt", P0 / 256)
    said, value = both(monkeypatch, capsys, "check", tmp_path / "poses", code=2)
    [pose], [unusable] = value["poses"], value["unusable"]
    assert pose["missing"] == ["right_wrist"] and "17 of 18" in said and "b.txt" in unusable
    left, top, right, bottom = pose["person"]
    assert f"from {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}" in said
    frame = pose["frame"]
    assert "{width}x{height} from {left},{top}".format(**frame) in said
    Image.new("RGB", (176, 256), (0, 90, 0)).save(tmp_path / "me.png")
    words = ("check", tmp_path / "poses/a.txt", "--photo", tmp_path / "me.png")
    said, value = both(monkeypatch, capsys, *words)
    assert value["poses"][0]["photo"] == [176, 256] and "of a 176x256 photo" in said


def test_what_a_data_set_holds_and_lacks(people, tmp_path, monkeypatch, capsys):
    said, value = both(monkeypatch, capsys, "survey", people, "--size", SIZE, "--read")
    counts = {line["what"]: line["found"] for line in value["findings"]}
    assert value["missing"] == [] and counts["pictures"] == value["readable"]
    for what, count in counts.items():
        assert re.search(rf"^ *{what} +{count:,}", said, flags=re.M)
    assert f"{value['readable']:,} pictures are readable" in said
    said, value = both(monkeypatch, capsys, "survey", tmp_path / "none", code=2)
    assert value["missing"] and all(cure in said for cure in value["missing"])


def test_scores(people, tmp_path, monkeypatch, capsys):
    data = DeepFashion(people, SIZE)
    (tmp_path / "mine").mkdir()
    for source, target in data.pairs("test"):
        Image.fromarray(255 - data.picture(target)).save(
            tmp_path / "mine" / result_name(source, target)
        )
    words = ("evaluate", tmp_path / "mine", "--reference", people, "--protocol", "synthetic")
    said, value = both(monkeypatch, capsys, *words, flag=("--json", "-"))
    scores = value["synthetic"]["scores"]["mine"]
    [row] = [line for line in said.splitlines() if line.startswith("| mine")]
    assert scores["count"] == len(data.pairs("test"))
    assert f"{scores['psnr']:.2f}" in row and f"{scores['silhouette_iou']:.3f}" in row


def test_the_verdicts_of_the_study(clone, monkeypatch, capsys):
    shutil.copytree(ROOT / "reports/reference/study", clone / "study")
    said, value = both(monkeypatch, capsys, "study", "report", "--folder", "study")
    assert said == f"wrote {value['page']}\n"
    lines = json.loads((clone / "study/verdicts.json").read_text())
    assert [*value["verdicts"].values()] == lines and len(lines) == len(load_design().claims)


@pytest.mark.slow
def test_learned_timesteps(people, tiny_vae, tmp_path, monkeypatch, capsys):
    make_pipeline(tiny_vae).save_pretrained(tmp_path / "weights")
    words = ["distill", "timesteps", tmp_path / "out", "--weights", tmp_path / "weights",
             "--data", people, "--pairs", "4", "--steps", "3", "--json"]  # fmt: skip
    assert xmdpt(monkeypatch, *map(str, words)) == 0
    value = json.loads(capsys.readouterr().out)
    index = json.loads((tmp_path / "out/model_index.json").read_text())
    assert value["timesteps"] == index["fast_timesteps"] and len(value["timesteps"]) == 3
    assert 0 < value["distance"] <= value["evenly_spaced"]


@pytest.mark.slow
def test_a_network_for_turbo(people, tiny_vae, tmp_path, monkeypatch, capsys):
    make_pipeline(tiny_vae).save_pretrained(tmp_path / "weights")
    data = ("--data", people, "--pairs", "8", "--updates", "2", "--json")
    for stage, start, out in (("guidance", "weights", "half"), ("steps", "half", "turbo")):
        words = ("distill", stage, tmp_path / out, "--weights", tmp_path / start, *data)
        assert xmdpt(monkeypatch, *map(str, words)) == 0
        value = json.loads(capsys.readouterr().out)
        assert value["distance"] > 0 < value["before"]
        files = {path.name for path in (tmp_path / out).iterdir()}
        assert "turbo" in files and not any("state" in name for name in files)
    index = json.loads((tmp_path / "turbo/model_index.json").read_text())
    assert value["timesteps"] == index["turbo_timesteps"] and len(value["timesteps"]) == 4
    assert index["turbo_scale"] == 2 and index["turbo"][1] == "XMDPTTransformer2DModel"


def test_the_key_of_what_is_distilled_names_how_pictures_are_encoded(people, tiny_vae):
    pipe, data = make_pipeline(tiny_vae), DeepFashion(people, SIZE)
    pairs = data.pairs("train")[:2]
    before = _key(pipe, data, pairs)
    assert _key(pipe, data, pairs) == before
    pipe.register_to_config(imagenet_normalization=True)
    assert _key(pipe, data, pairs) != before

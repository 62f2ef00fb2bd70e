"""What a table says of numbers that mean less than they seem to, and of what they rest on."""

import json

import numpy as np
import pytest
from helpers.commands import xmdpt
from PIL import Image

from xmdpt.data.pairs import result_name
from xmdpt.metrics.images import psnr, sharpness, silhouette_iou, ssim
from xmdpt.metrics.labels import FEW


@pytest.fixture(autouse=True)
def offline(no_hub, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def scored(people, folder, tmp_path, monkeypatch, capsys, *words):
    """The printed table and what the JSON file holds, under `synthetic`."""
    out = tmp_path / "scores.json"
    command = ["evaluate", folder, "--reference", people, "--protocol", "synthetic"]
    assert xmdpt(monkeypatch, *map(str, command), "--json", str(out), *map(str, words)) == 0
    return capsys.readouterr().out, json.loads(out.read_text())["synthetic"]


def write_results(data, folder, people, noise):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for source, target in data.pairs("test"):
        if data.root and any(person in target for person in people):
            picture = data.picture(target) + rng.normal(0, noise, (data.size, data.size, 3))
            picture = Image.fromarray(picture.round().clip(0, 255).astype(np.uint8))
            picture.save(folder / result_name(source, target))
    return folder


BOTH = ("id_00000006", "id_00000007")


def test_one_person_has_no_interval(data, tmp_path, monkeypatch, capsys):
    folder = write_results(data, tmp_path / "one", BOTH[:1], 4)
    text, found = scored(data.root, folder, tmp_path, monkeypatch, capsys)
    row = found["scores"]["one"]
    assert (
        row["count"] == 6 and row["low"] == row["high"] == {} and " to " not in text.split("*")[0]
    )
    assert "one has no intervals: all its 6 pairs show fashionWOMENTees_Tanksid00000006" in text


def test_two_people_have_intervals(data, tmp_path, monkeypatch, capsys):
    folder = write_results(data, tmp_path / "two", BOTH, 4)
    text, found = scored(data.root, folder, tmp_path, monkeypatch, capsys)
    assert {"ssim", "psnr"} <= set(found["scores"]["two"]["low"])
    assert "no intervals" not in text


def test_identical_pictures(data, tmp_path, monkeypatch, capsys):
    folder = write_results(data, tmp_path / "truth_itself", BOTH, 0)
    reference = tmp_path / "squares"
    reference.mkdir()
    for name in data.pictures("test"):
        path = reference / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.picture(name)).save(path.with_suffix(".png"))
    text, found = scored(reference, folder, tmp_path, monkeypatch, capsys)
    row = found["scores"]["truth_itself"]
    assert row["psnr"] is None and "psnr" not in row["low"] and row["ssim"] == 1
    assert "| inf " in text and "nan" not in text
    assert "has 12 of 12 results that equal their true pictures: their PSNR is infinite" in text


def test_a_distance_of_fewer_pictures_than_features_is_marked(data, tmp_path, monkeypatch, capsys):
    folder = write_results(data, tmp_path / "two", BOTH, 4)
    words = ("--train", data.root)
    text, found = scored(data.root, folder, tmp_path, monkeypatch, capsys, *words)
    row = found["scores"]["two"]
    assert row["few"] == {"fd_effnet": 1280}
    assert f"{row['fd_effnet']:.1f} {FEW} " in text and f"* {FEW} computed from fewer" in text


def test_a_table_names_what_it_was_scored_against(data, tmp_path, monkeypatch, capsys):
    folder = write_results(data, tmp_path / "two", BOTH, 4)
    text, found = scored(data.root, folder, tmp_path, monkeypatch, capsys)
    assert f"* true pictures: {data.root}; training pictures: none" in text
    assert found["reference"] == str(data.root) and found["train"] is None
    assert found["folders"] == {"two": str(folder)}
    text, found = scored(
        data.root, folder, tmp_path, monkeypatch, capsys, "--train", data.root / "img"
    )
    assert f"training pictures: {data.root / 'img'}" in text
    assert found["train"] == str(data.root / "img")


@pytest.mark.parametrize("metric", [ssim, psnr, silhouette_iou, sharpness])
def test_pictures_scaled_for_a_network_are_refused(metric):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 40, 3)).astype(np.float32)
    for scaled in (picture / 255, picture / 127.5 - 1):
        for sides in ((scaled, picture), (picture, scaled), (scaled, scaled)):
            with pytest.raises(ValueError, match=r"from 0 to 255, not from .*x \* 255"):
                metric(*sides)
    with pytest.raises(ValueError, match="uint8 or float32"):
        metric(picture.astype(np.float64), picture)
    black = np.zeros_like(picture)
    assert np.isfinite(psnr(black, picture))

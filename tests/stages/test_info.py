"""`xmdpt info`: what is here, what is missing, and never a failure."""

import json
import shutil

import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT

from xmdpt.stages import info


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Settings without data, weights or networks of other people."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "profiles/smoke.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def as_json(monkeypatch, capsys) -> dict:
    assert xmdpt(monkeypatch, "info", "--json") == 0
    return json.loads(capsys.readouterr().out)


def item(found: dict, what: str) -> dict:
    return next(one for one in found["items"] if what in one["what"])


def test_what_is_missing_has_the_command_that_brings_it(clone, monkeypatch, capsys):
    found = as_json(monkeypatch, capsys)
    assert found["repository"]["profile"] == "smoke" and found["not looked for"] == []
    assert found["versions"]["xmdpt"] and found["machine"]["computes on"]["device"] == "cpu"
    people = item(found, "rendered people")
    assert not people["at_hand"] and people["get_it"] == "dvc repro prepare"
    assert item(found, "LPIPS")["get_it"].endswith(".pth")
    assert all(one["get_it"] for one in found["items"])


def test_what_was_brought_is_at_hand(clone, monkeypatch, capsys):
    missing = as_json(monkeypatch, capsys)
    (clone / people_folder(missing)).mkdir(parents=True)
    network = clone / item(missing, "LPIPS")["place"]
    network.parent.mkdir(parents=True)
    network.write_bytes(b"")  # an interrupted download
    assert not item(as_json(monkeypatch, capsys), "LPIPS")["at_hand"]
    network.write_bytes(b"weights")
    found = as_json(monkeypatch, capsys)
    assert item(found, "rendered people")["at_hand"] and item(found, "LPIPS")["at_hand"]
    assert xmdpt(monkeypatch, "info") == 0
    at_hand, lacking = capsys.readouterr().out.split("missing (how to get it)")
    assert "rendered people" in at_hand and "DeepFashion" in lacking


def people_folder(found: dict) -> str:
    return item(found, "rendered people")["place"]


def test_settings_changed_by_hand_are_called_so(clone, monkeypatch, capsys):
    with (clone / "params.yaml").open("a") as file:
        file.write("# mine\n")
    assert as_json(monkeypatch, capsys)["repository"]["profile"] == "smoke, changed by hand"


@pytest.mark.parametrize("content", [None, "seed: [", "sede: 1"])
def test_it_never_fails_without_settings_or_with_broken_ones(
    tmp_path, monkeypatch, capsys, content
):
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "params.yaml").write_text(content)
    found = as_json(monkeypatch, capsys)
    assert "params.yaml" in found["repository"]["profile"] and found["not looked for"]
    assert found["versions"]["torch"]


def test_it_never_fails_where_the_machine_does_not_answer(clone, monkeypatch, capsys):
    def broken(*arguments):
        raise RuntimeError("driver and library\nversions differ")

    for name in ("_memory", "_gpus", "_device", "_commit", "_is_cached"):
        monkeypatch.setattr(info, name, broken)
    found = as_json(monkeypatch, capsys)
    reason = "unknown (RuntimeError: driver and library versions differ)"
    assert found["machine"]["GPUs"] == found["repository"]["commit"] == reason
    assert xmdpt(monkeypatch, "info") == 0 and reason in capsys.readouterr().out


def test_a_folder_that_is_missing_hides_nothing_else(clone, monkeypatch, capsys):
    paper = clone / "profiles/paper.yaml"
    name = "source_encoder: facebook/dinov2-giant"
    assert name in paper.read_text()
    paper.write_text(paper.read_text().replace(name, "source_encoder: data/encoders/giant"))
    found = as_json(monkeypatch, capsys)
    assert found["not looked for"] == []
    assert item(found, "source encoder")["get_it"].endswith("to data/encoders/giant")
    folder = clone / "data/encoders/giant"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert not item(as_json(monkeypatch, capsys), "source encoder")["at_hand"], "no weights yet"
    (folder / "model.safetensors").touch()
    assert item(as_json(monkeypatch, capsys), "source encoder")["at_hand"]

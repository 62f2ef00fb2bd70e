"""The command line: what is asked is done or refused in one line, with exit code 2."""

import errno
import os
import re
import shutil

import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT

from xmdpt.study.design import load_design
from xmdpt.study.scores import write_scores


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "profiles/synthetic.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_profiles_are_listed(folder, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "profile") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("*")] == [
        line for line in lines if line[2:].startswith("synthetic ")
    ]
    (folder / "params.yaml").write_text("seed: 1\n")
    assert xmdpt(monkeypatch, "profile") == 0
    assert "changed by hand" in capsys.readouterr().out


def test_a_profile_is_put_in_place(folder, monkeypatch):
    for name in ("smoke", "synthetic", "smoke"):
        assert xmdpt(monkeypatch, "profile", name) == 0
        chosen = (folder / f"profiles/{name}.yaml").read_bytes()
        assert (folder / "params.yaml").read_bytes() == chosen
    (folder / "params.yaml").unlink()
    assert xmdpt(monkeypatch, "profile", "smoke") == 0


def test_a_profile_whose_pictures_are_missing_says_so(folder, monkeypatch, capsys):
    """Before DVC does, which knows no more than that a folder is missing."""
    assert xmdpt(monkeypatch, "profile", "paper") == 0
    assert "`xmdpt survey data/raw/deepfashion` says with what" in capsys.readouterr().out
    (folder / "data/raw/deepfashion").mkdir(parents=True)
    for name in ("smoke", "paper"):
        assert xmdpt(monkeypatch, "profile", name) == 0
        assert "survey" not in capsys.readouterr().out


def test_changes_by_hand_are_kept(folder, monkeypatch, capsys):
    params = folder / "params.yaml"
    params.write_text(params.read_text() + "# mine\n")
    mine = params.read_bytes()
    assert xmdpt(monkeypatch, "profile", "smoke") == 2
    assert "--force" in capsys.readouterr().err and params.read_bytes() == mine
    assert xmdpt(monkeypatch, "profile", "smoke", "--force") == 0
    assert (folder / "params.yaml.bak").read_bytes() == mine
    assert params.read_bytes() == (folder / "profiles/smoke.yaml").read_bytes()
    params.write_text(params.read_text() + "# mine again\n")
    assert xmdpt(monkeypatch, "profile", "smoke", "--force") == 0
    assert (folder / "params.yaml.bak").read_bytes() == mine
    assert (folder / "params.yaml.bak1").read_text().endswith("# mine again\n")


@pytest.mark.parametrize("words", [("profile", "nonesuch"), ("report",)])
def test_bad_input_is_one_line(folder, monkeypatch, capsys, words):
    (folder / "params.yaml").unlink()
    assert xmdpt(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and len(error.splitlines()) == 1


def test_outside_a_clone_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert xmdpt(monkeypatch, "profile") == 2
    assert "no clone of xmdpt" in capsys.readouterr().err


@pytest.mark.parametrize("group", ["bench", "distill"])
def test_a_group_alone_shows_its_help(monkeypatch, capsys, group):
    assert xmdpt(monkeypatch, group) == 2
    assert f"{group} [OPTIONS] COMMAND" in " ".join(capsys.readouterr().out.split())


def test_commands_and_the_many_options_are_in_panels(monkeypatch, capsys):
    def panels(*words):
        assert xmdpt(monkeypatch, *words, "--help") == 0
        return re.findall(r"^╭─ (.+?) ─", capsys.readouterr().out, flags=re.M)

    assert panels()[1:] == ["Draw", "Data and scores", "Reproduce", "Study and speed"]
    assert panels("generate")[1:] == [
        "Person", "Pose", "Picture", "Weights and speed", "Detectors", "Output",
    ]  # fmt: skip


def test_a_broken_profile_is_not_put_in_place(folder, monkeypatch, capsys):
    before = (folder / "params.yaml").read_bytes()
    (folder / "profiles/broken.yaml").write_text("sede: 1\n")
    assert xmdpt(monkeypatch, "profile", "broken") == 2
    assert "broken.yaml" in capsys.readouterr().err
    assert (folder / "params.yaml").read_bytes() == before


def test_report_is_written(folder, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report") == 0
    assert (folder / "reports/index.html").is_file()


def test_what_the_disk_refuses_is_one_line(folder, monkeypatch, capsys):
    (folder / "reports").write_text("in the way")
    assert xmdpt(monkeypatch, "report") == 2
    error = capsys.readouterr().err
    assert "reports" in error and error.startswith("error: ") and len(error.splitlines()) == 1


def test_a_training_replaces_no_folder_that_is_there(folder, monkeypatch, capsys):
    """Above all not one that holds the weights of other runs."""
    monkeypatch.chdir(folder)
    (folder / "weights/a").mkdir(parents=True)
    assert xmdpt(monkeypatch, "train", "base_b", "--out", "weights") == 2
    assert "weights: already exists; choose another name" in capsys.readouterr().err
    assert (folder / "weights/a").is_dir()


def test_a_full_disk_is_one_line(folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("xmdpt.stages.report.write_report", full)
    assert xmdpt(monkeypatch, "report") == 2
    assert capsys.readouterr().err == "error: No space left on device\n"


def test_the_study_says_how_far_it_is_and_what_it_needs(folder, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "study") == 2
    assert "claims.yaml: no such file" in capsys.readouterr().err
    shutil.copy(ROOT / "claims.yaml", folder)
    assert xmdpt(monkeypatch, "study", "--out", "none") == 0
    assert "0 of 81 runs" in capsys.readouterr().out
    assert xmdpt(monkeypatch, "study", "run", "--rows", "base_c", "--out", "none") == 2
    assert "the study trains no 'base_c'; it trains base_b, " in capsys.readouterr().err
    assert xmdpt(monkeypatch, "study", "run", "--out", "none") == 2
    assert "params.yaml: is the profile 'synthetic'; the study's" in capsys.readouterr().err
    assert xmdpt(monkeypatch, "profile", "study") == 0
    assert xmdpt(monkeypatch, "study", "run", "--out", "none") == 2
    assert "`dvc repro features` makes it" in capsys.readouterr().err
    assert not (folder / "none").exists()


def test_a_finished_study_needs_nothing_and_asks_for_nothing(folder, monkeypatch, capsys):
    """Whatever the code is now: its runs are those of another commit."""
    shutil.copy(ROOT / "claims.yaml", folder)
    for row in load_design(ROOT / "claims.yaml").rows:
        for seed in range(3):
            write_scores(
                folder / f"runs/{row}-{seed}.json",
                {"commit": "1234", "minutes": 6.0, "people": ["a"], "means": {"st_lpips": [0.1]},
                 "distances": {}},
            )  # fmt: skip
    assert xmdpt(monkeypatch, "study", "run", "--out", "runs") == 0
    assert "0 runs to make" in capsys.readouterr().out
    assert xmdpt(monkeypatch, "study", "--out", "runs") == 0
    assert "81 of 81 runs, 8.1 core-hours" in capsys.readouterr().out


def test_a_training_without_whole_features_is_refused_in_one_line(folder, monkeypatch, capsys):
    (folder / "data/cache/features").mkdir(parents=True)
    assert xmdpt(monkeypatch, "train", "base_b", "--out", "weights") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: data/cache/features/index.json: no such file")

"""What a shell completes, by Typer's own way, and what a mistyped name is told."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT

SHELLS = {
    "bash": "complete -o default",
    "zsh": "#compdef xmdpt",
    "fish": "complete --command xmdpt",
}


def ask(tmp_path, **asked: str) -> str:
    """What xmdpt answers a shell."""
    code = "import sys; sys.argv = ['xmdpt']; from xmdpt.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | asked,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_for_a_shell(tmp_path, shell):
    assert SHELLS[shell] in ask(tmp_path, _XMDPT_COMPLETE=f"source_{shell}")


def test_commands_options_runs_and_profiles_are_completed(tmp_path):
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "profiles/smoke.yaml", tmp_path / "params.yaml")

    def completed(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return ask(tmp_path, _XMDPT_COMPLETE="complete_bash", **words).split()

    assert completed("xmdpt stu") == ["study"]
    assert "--source-keypoints" in completed("xmdpt generate --source")
    assert completed("xmdpt profile sm") == ["smoke"]
    assert completed("xmdpt train base_") == ["base_b"]
    (tmp_path / "params.yaml").unlink()
    assert completed("xmdpt train base_") == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["surveys"], "survey"),
        (["study", "rnu"], "run"),
        (["info", "--jsn"], "--json"),
        (["profile", "smok"], "smoke"),
        (["train", "base_c", "--out", "x"], "base_b"),
        (["bench", "networks", "--models", "x_mdpt_d"], "x_mdpt_s"),
        (["evaluate", "docs", "--reference", "docs", "--protocol", "pidn"], "pidm"),
        (["study", "run", "--rows", "base_bb"], "base_b"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_mistyped_name_is_told_the_one_like_it(monkeypatch, capsys, words, meant):
    monkeypatch.chdir(ROOT)
    assert xmdpt(monkeypatch, *words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"id you mean '{meant}'" in said or f"Possible options: {meant}" in said

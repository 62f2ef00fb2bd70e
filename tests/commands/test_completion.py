"""What a shell completes, by Typer's own way, and what a mistyped name is told."""

import json
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


CODE = """
import json, os, sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from xmdpt.cli import main

sys.argv, answers = ["xmdpt"], []
for asked in json.loads(sys.stdin.read()):
    os.environ |= asked
    with redirect_stdout(StringIO()) as said, suppress(SystemExit):
        main()
    answers.append(said.getvalue())
print(json.dumps(answers))
"""


def ask(folder, *asked: dict[str, str]) -> list[str]:
    """What xmdpt answers a shell that sets these variables; all in one process."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=json.dumps(asked), cwd=folder,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def completed(folder, *lines: str) -> list[list[str]]:
    """What bash offers behind each line."""
    asked = ({"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)} for line in lines)
    words = [{"_XMDPT_COMPLETE": "complete_bash"} | one for one in asked]
    return [answer.split() for answer in ask(folder, *words)]


def test_the_scripts_for_shells(tmp_path):
    scripts = ask(tmp_path, *({"_XMDPT_COMPLETE": f"source_{shell}"} for shell in SHELLS))
    for begin, script in zip(SHELLS.values(), scripts, strict=True):
        assert begin in script


def test_commands_options_runs_and_profiles_are_completed(tmp_path):
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "profiles/smoke.yaml", tmp_path / "params.yaml")
    commands, options, profiles, runs = completed(
        tmp_path, "xmdpt stu", "xmdpt generate --source", "xmdpt profile sm", "xmdpt train base_"
    )
    assert commands == ["study"] and "--source-keypoints" in options
    assert profiles == ["smoke"] and runs == ["base_b"]
    (tmp_path / "params.yaml").unlink()
    assert completed(tmp_path, "xmdpt train base_") == [[]]


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

"""README: short, its numbers those of the kept runs, its commands and code carried out."""

import csv
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT
from PIL import Image

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, flags=re.S | re.M)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A folder with the repository's documents and weights, to write beside them."""
    for name in ("data", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_read_in_five_minutes():
    lines = TEXT.splitlines()
    assert len(lines) <= 120 and len(TEXT.split()) <= 900
    first = "\n".join(lines[:20])
    assert "make repro" in first and "make test" in first and "<img " in first
    pictures = re.findall(r'(?:src="|!\[.*?\]\()([^")]+)', TEXT)
    assert len(pictures) == 2 and all((ROOT / name).is_file() for name in pictures)


def test_every_command_is_one_that_is_tried_here():
    assert [words[:2] for words in commands()] == [
        ["make", "repro"], ["make", "test"], ["source", ".venv/bin/activate"], ["xmdpt", "demo"],
        ["xmdpt", "generate"],
    ]  # fmt: skip
    for target in {words[1] for words in commands() if words[0] == "make"} | {"docs", "lab"}:
        asked = ["make", "--dry-run", "--silent", target]
        assert subprocess.run(asked, cwd=ROOT, capture_output=True).returncode == 0, target


def test_the_speeds_are_those_of_the_kept_run():
    kept = ROOT / "reports/reference/paper/table_2f.csv"
    rows = {row["method"]: row for row in csv.DictReader(kept.read_text().splitlines())}
    said = re.findall(r"^\| (X-MDPT-[SBL]) \| (.*?) \| (.*?) \|$", TEXT, flags=re.M)
    assert len(said) == 3
    for method, paper, here in said:
        row = rows[method]
        assert (paper, here) == (
            row["speed-up, paper"],
            row["speed-up, all of an inference"].split()[0],
        )


@pytest.mark.slow
def test_the_code_draws(clone):
    [code] = blocks("python")
    assert len(code.splitlines()) == 8
    exec(code, {})
    with Image.open(clone / "drawn.png") as drawn:
        assert drawn.size == (128, 128)


@pytest.mark.slow
def test_the_command_draws_the_picture_below_it(clone, monkeypatch, capsys):
    [words] = [words for words in commands() if words[:2] == ["xmdpt", "generate"]]
    assert xmdpt(monkeypatch, *words[1:], "--steps", "2") == 0  # the last one counts
    assert "wrote out.png, the best of 2" in capsys.readouterr().out
    with Image.open("sheet.png") as made, Image.open(ROOT / "docs/pictures/sheet.jpg") as shown:
        assert made.size == shown.size


@pytest.mark.slow
def test_the_page_opens(clone):
    pytest.importorskip("gradio")
    [words] = [words for words in commands() if words == ["xmdpt", "demo"]]
    page = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", *words],
        stdout=subprocess.PIPE, text=True, cwd=clone,
    )  # fmt: skip
    try:
        assert page.stdout.readline().startswith("open http://127.0.0.1:")
        page.send_signal(signal.SIGINT)
        assert page.wait(60) == 0
    finally:
        if page.poll() is None:
            page.send_signal(signal.SIGABRT)  # says what every thread is doing

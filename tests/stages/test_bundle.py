"""One file to mail: whole, alone, and below the limit, whatever the pictures were."""

import re
import shutil

import pytest
from helpers.commands import xmdpt

from xmdpt.stages.bundle import FITS, write_bundle
from xmdpt.support.arguments import BadInput


@pytest.fixture
def made(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)


def test_one_command_makes_one_file_without_neighbours(made, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report", "bundle", "--out", "mail/results.html") == 0
    said = capsys.readouterr()
    page = (made / "mail/results.html").read_text()
    assert re.fullmatch(r"wrote mail/results.html, \d+\.\d MB\n", said.out) and said.err == ""
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert links and {link[0] if link[0] == "#" else link[:5] for link in links} == {"#", "data:"}
    assert "table_1" in page and "uPlot" in page
    assert [path.name for path in (made / "mail").iterdir()] == ["results.html"]
    assert not (made / "reports/index.html").exists(), "nothing else is written"


def test_pictures_are_made_smaller_until_it_fits(made, monkeypatch, capsys):
    whole, fit = write_bundle(made / "a.html", {}, made)
    assert fit == FITS[0]
    smaller, fit = write_bundle(made / "b.html", {}, made, whole)
    assert smaller < whole and fit == FITS[1]
    assert (made / "b.html").stat().st_size == smaller
    monkeypatch.setattr("xmdpt.stages.bundle.write_bundle.__defaults__", (".", whole))
    assert xmdpt(monkeypatch, "report", "bundle", "--out", "c.html") == 0
    said = capsys.readouterr().out
    assert f"pictures were made smaller: at most {FITS[1].widest} pixels wide" in said


def test_what_no_picture_can_help_is_refused_and_nothing_is_written(made):
    with pytest.raises(BadInput, match=r"even with small pictures, wanted less than 0\.01 MB"):
        write_bundle(made / "a.html", {}, made, 10_000)
    assert not (made / "a.html").exists()


@pytest.mark.parametrize(
    ("out", "complaint"),
    [("results.pdf", "must end in .html"), ("params.yaml/page.html", "not a writable folder")],
)
def test_a_place_that_cannot_be_is_one_line(made, monkeypatch, capsys, out, complaint):
    assert xmdpt(monkeypatch, "report", "bundle", "--out", out) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


def test_before_any_exhibit_it_says_what_to_run(made, monkeypatch, capsys):
    (made / "reports/exhibits").rename(made / "aside")
    assert xmdpt(monkeypatch, "report", "bundle") == 2
    assert "`make repro`" in capsys.readouterr().err
    assert not (made / "reports/bundle.html").exists()

"""The rooms: imports go down, each says what it is, files are short."""

import ast
import re
from pathlib import Path

import pytest
from helpers.repository import ROOT
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

PACKAGE = ROOT / "xmdpt"
ROOMS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))


def test_a_room_imports_only_from_floors_below_and_never_in_a_circle(capsys):
    """The floors are listed in pyproject.toml; a room that is not among them fails too."""
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_lives_in_it_and_which_page_explains_it(room: Path):
    about = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    pages = re.findall(r"docs/[\w/-]+\.md", about)
    assert pages and [page for page in pages if not (ROOT / page).is_file()] == []
    files = {path.stem for path in room.glob("*.py")} - {"__init__"}
    assert sorted(stem for stem in files if f"`{stem}" not in about) == []


def test_the_plan_names_every_room():
    plan = (ROOT / "docs/understand/architecture.md").read_text()
    assert [room.name for room in ROOMS if f"`{room.name}/`" not in plan] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_files_are_short(path: Path):
    lines = len(path.read_text().splitlines())
    assert lines <= (600 if path.name == "model.py" else 400)


def test_the_picture_of_the_rooms_is_drawn_from_todays_imports(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import rooms

    assert rooms.PICTURE.read_text(encoding="utf-8") == rooms.draw(), "run: python docs/rooms.py"

"""Notebooks as sources: clean, small, without logic."""

import ast
import asyncio
import json
import re
import subprocess
import sys
import types

import nbformat
import pytest
from helpers.repository import NOTEBOOKS, ROOT, code_of

from xmdpt.stages.notebook import has_tag


def lab_settings() -> types.SimpleNamespace:
    """What lab_config.py sets of JupyterLab."""
    names = ("FileContentsManager", "ServerApp")
    settings = types.SimpleNamespace(**{name: types.SimpleNamespace() for name in names})
    path = ROOT / "notebooks/lab_config.py"
    exec(path.read_text(), {"c": settings, "__file__": str(path)})
    return settings


def test_kernels_of_lab_start_where_stages_run():
    files = lab_settings().ServerApp.contents_manager_class(root_dir=str(ROOT))
    assert asyncio.run(files.get_kernel_path("notebooks/extensions/context.ipynb")) == ""


def test_lab_saves_a_stage_as_it_was_and_leaves_others_alone():
    settings = lab_settings()
    save = settings.FileContentsManager.pre_save_hook
    for name in ("notebooks/pipeline/04_train.ipynb", "notebooks/walkthrough/02_diffusion.ipynb"):
        text = (ROOT / name).read_text()
        opened = nbformat.reads(text, as_version=4)
        opened.metadata.language_info = {"name": "python", "version": "3.11.2"}
        cell = next(cell for cell in opened.cells if cell.cell_type == "code")
        cell.metadata.trusted, cell.execution_count = True, 3
        save({"type": "notebook", "content": opened}, path=name, contents_manager=None)
        assert (nbformat.writes(opened) + "\n" == text) == name.startswith("notebooks/pipeline")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_clean_source(path):
    text = path.read_text()
    assert len(text.encode()) < 100_000
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec"}
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", id)] == []
    for cell in notebook.cells:
        hidden = {"jupyter": {"source_hidden": True}} if has_tag(cell, "solution") else {}
        assert {key: cell.metadata[key] for key in set(cell.metadata) - {"tags"}} == hidden, cell.id
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, f"{cell.id} has outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_one_parameters_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    assert sum(has_tag(cell, "parameters") for cell in cells) == 1


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.stem != "standalone"], ids=lambda path: path.stem
)
def test_a_notebook_holds_no_logic(path):
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 10, f"{node.name} belongs in the package"


def test_notebooks_are_made_clean_whole_or_not_at_all(tmp_path):
    clean = (ROOT / "notebooks/pipeline/04_train.ipynb").read_text()
    dirty, broken, cut = (tmp_path / name for name in ("dirty.ipynb", "b.ipynb", "cut.ipynb"))
    dirty.write_text(clean.replace('"execution_count": null', '"execution_count": 3', 1))
    broken.write_text("{")
    cut.write_text(clean.replace("# 4. Train", "\\ud800", 1))  # half a character
    half = cut.read_text()
    command = [sys.executable, str(ROOT / "notebooks/clean.py")]
    check = subprocess.run([*command, str(dirty)], capture_output=True, text=True)
    assert check.returncode == 1 and f"{dirty}: not clean" in check.stderr
    paths = [str(path) for path in (broken, cut, dirty)]
    done = subprocess.run([*command, "--write", *paths], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{broken}: not a notebook" in done.stderr and f"{cut}: not a notebook" in done.stderr
    assert (dirty.read_text(), broken.read_text(), cut.read_text()) == (clean, "{", half)
    assert len(list(tmp_path.iterdir())) == 3

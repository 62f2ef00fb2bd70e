"""Notebooks as sources: clean, small, without logic."""

import ast
import json
import re
import types

import nbformat
import pytest
from helpers.repository import NOTEBOOKS, ROOT, code_of

from xmdpt.stages.notebook import has_tag


def test_lab_saves_a_stage_as_it_was_and_leaves_others_alone():
    settings = types.SimpleNamespace(FileContentsManager=types.SimpleNamespace())
    path = ROOT / "notebooks/lab_config.py"
    exec(path.read_text(), {"c": settings, "__file__": str(path)})
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
        assert set(cell.metadata) <= {"tags"}, cell.id
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, f"{cell.id} has outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_one_parameters_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    assert sum(has_tag(cell, "parameters") for cell in cells) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_logic(path):
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 10, f"{node.name} belongs in the package"

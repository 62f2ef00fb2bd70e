"""The notebooks that teach and those to play with, executed for real, as a reader would."""

import re
from pathlib import Path

import nbformat
import papermill
import pytest
from helpers.repository import ROOT
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from xmdpt.stages.notebook import declared_parameters

HANDS = """
s, drawn = sliders, sliders.views[2]
before = drawn.value
s.x.value, s.y.value = 10, 20
assert s.keypoints[s.joint.value].tolist() == [10, 20], "a slider moves its joint"
s.there.value = False
assert (s.keypoints[s.joint.value] == -1).all(), "a joint can be taken out"
s.joint.value = 5
assert (s.x.value, s.y.value) == tuple(s.keypoints[5].round().astype(int)), "sliders show it"
s.pose.value = 1
assert (s.keypoints == s.poses[1]).all(), "another pose starts afresh"
s.button.click()
assert drawn.value != before and not s.button.disabled
s.seed.value = 7
picture = drawn.value
s.button.click()
assert drawn.value != picture and not s.note.value, "another seed is another picture"
s.keypoints[:] = -1
s.button.click()
assert "needs 4" in s.note.value and not s.button.disabled, "no pose is said, not raised"
"""
SMALL = {
    "people": 2,
    "views": 3,
    "crowd": 6,
    "pairs_to_draw": 2,
    "kept": [0, 4],
    "pairs_to_test": 4,
    "pairs_to_score": 4,
    "num_inference_steps": 4,
    "scales": [1.0, 3.0],
    "powers": [0.01, 1.0],
    "reference_steps": 40,
    "batch_size": 2,
    "minutes": 0.05,
    "look_for_finished_runs": False,
}
STEPS = {"steps_and_solver": [4, 12]}  # elsewhere they are steps of training
NOTEBOOKS = [
    path
    for folder in ("walkthrough", "ablations")
    for path in sorted((ROOT / "notebooks" / folder).glob("*.ipynb"))
    if path.stem != "05_play"  # below, with hands
]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """The folder where all of them find the people that the first has rendered."""
    return tmp_path_factory.mktemp("lessons")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_at_its_smallest(path, work, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    small = SMALL | {"work": str(work), "steps": STEPS.get(path.stem, 3)}
    declared = declared_parameters(nbformat.read(path, as_version=4))
    done = papermill.execute_notebook(
        str(path),
        str(tmp_path / path.name),
        parameters={name: value for name, value in small.items() if name in declared},
        kernel_name="python3",
        start_timeout=300,
        progress_bar=False,
        cwd=ROOT,
    )
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3, "figures are there to be seen"


def test_the_walkthrough_is_numbered_without_gaps_and_the_index_names_all():
    names = sorted(path.stem for path in (ROOT / "notebooks/walkthrough").glob("[0-9]*.ipynb"))
    assert [int(name[:2]) for name in names] == list(range(len(names)))
    index = (ROOT / "docs/understand/notebooks.md").read_text()
    folders = [ROOT / "notebooks" / name for name in ("walkthrough", "ablations", "extensions")]
    taught = sorted(path.stem for folder in folders for path in folder.glob("*.ipynb"))
    assert sorted(re.findall(r"(?m)^\| \[?`(\w+)`", index)) == taught, "a row for each"


def test_first_cells_say_the_time_that_the_index_says():
    index = (ROOT / "docs/understand/notebooks.md").read_text()
    for path in (ROOT / "notebooks/walkthrough").glob("*.ipynb"):
        first = " ".join(nbformat.read(path, as_version=4).cells[0].source.split())
        found = re.search(rf"(?m)^\| \[`{path.stem}`.*\| ([^|]+) \|$", index)
        assert found is not None, path.stem
        assert re.search(rf"\*Time: (about )?{found[1]}", first), path.stem
        assert "You need: " in first, path.stem


@pytest.mark.slow
def test_sliders_move_joints_and_the_button_draws():
    notebook = nbformat.read(ROOT / "notebooks/walkthrough/05_play.ipynb", as_version=4)
    small = new_code_cell("people, poses, num_inference_steps = 1, 2, 2")
    notebook.cells.insert(2, small)
    notebook.cells.append(new_code_cell(HANDS))
    patience = {"timeout": 1200, "startup_timeout": 300}
    NotebookClient(notebook, **patience, resources={"metadata": {"path": str(ROOT)}}).execute()

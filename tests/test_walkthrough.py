"""The notebooks to play with, executed for real, then handled as a reader would."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).parent.parent
HANDS = """
before = drawn_view.value
x.value, y.value = 10, 20
assert keypoints[joint.value].tolist() == [10, 20], "a slider moves its joint"
there.value = False
assert (keypoints[joint.value] == -1).all(), "a joint can be taken out"
joint.value = 5
assert (x.value, y.value) == tuple(keypoints[5].round().astype(int)), "sliders show their joint"
pose.value = 1
assert (keypoints == skeletons[1]).all(), "another pose starts afresh"
button.click()
assert drawn_view.value != before and not button.disabled
seed.value = 7
picture = drawn_view.value
button.click()
assert drawn_view.value != picture, "another seed is another picture"
"""


@pytest.mark.slow
def test_sliders_move_joints_and_the_button_draws():
    notebook = nbformat.read(ROOT / "notebooks/walkthrough/01_play.ipynb", as_version=4)
    small = new_code_cell("people, poses, num_inference_steps = 1, 2, 2")
    notebook.cells.insert(2, small)
    notebook.cells.append(new_code_cell(HANDS))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()

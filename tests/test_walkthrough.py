"""The notebooks to play with, executed for real, then handled as a reader would."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).parent.parent
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


@pytest.mark.slow
def test_sliders_move_joints_and_the_button_draws():
    notebook = nbformat.read(ROOT / "notebooks/walkthrough/01_play.ipynb", as_version=4)
    small = new_code_cell("people, poses, num_inference_steps = 1, 2, 2")
    notebook.cells.insert(2, small)
    notebook.cells.append(new_code_cell(HANDS))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()

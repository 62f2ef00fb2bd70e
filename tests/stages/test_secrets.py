"""Keys that the environment holds are in nothing that is printed or written."""

from pathlib import Path

import nbformat
import pytest
from helpers.commands import xmdpt
from nbformat.v4 import new_code_cell, new_notebook

PLANTED = {
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "planted0",
    "HF_TOKEN": "hf_planted" + "B" * 27,
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED012345678",
    "AWS_SECRET_ACCESS_KEY": "planted/secret/0123456789abcdefghijklmno",
    "AWS_SESSION_TOKEN": "plantedsession" * 10,
}
STAGE = """
import os
from pathlib import Path
from xmdpt.config import load_config
from xmdpt.stages.tracking import track
config = load_config(run=run)
with track("train", run, config.model_dump()) as tracker:
    tracker.log({"loss": 1.0}, step=0)
    tracker.table("planted", {"name": ["a"]})
    tracker.folder("notebooks", "code", Path("notebooks"))
    tracker.summary({"best": 1.0})
print(len(os.environ["HF_TOKEN"]), "letters", config)
"""


@pytest.fixture
def planted(reproduced, monkeypatch):
    """A finished reproduction where keys are set, and W&B does not answer."""
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    return reproduced


def notebook(path: Path, *cells: str) -> str:
    parameters = new_code_cell('run = "no_mask"', metadata={"tags": ["parameters"]})
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=[parameters, *map(new_code_cell, cells)]), path)
    return str(path)


def test_a_key_is_in_no_log_notebook_report_or_artifact(planted, monkeypatch, capfd):
    pytest.importorskip("wandb_workspaces", reason="the extra `wandb` is not installed")
    stage = notebook(planted / "notebooks/stage.ipynb", STAGE)
    failing = notebook(planted / "notebooks/failing.ipynb", STAGE, "raise RuntimeError(run)")
    executed = "reports/notebooks/04_train-no_mask.ipynb"
    for code, *words in (
        (0, "run", stage, "--output", executed),
        (1, "run", failing, "--output", "reports/notebooks/failing.ipynb"),
        (0, "report"),
        (0, "report", "bundle"),
        (0, "report", "publish"),
        (0, "info"),
        (0, "info", "--json"),
    ):
        assert xmdpt(monkeypatch, *words) == code, words
    said = capfd.readouterr()
    written = [path for path in planted.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in written}
    assert {".wandb", ".ipynb", ".html", ".json"} <= kinds, "there is something to look through"
    held = f"{len(PLANTED['HF_TOKEN'])} letters"
    assert held in (planted / executed).read_text(), "the kernel had the keys"
    for value in PLANTED.values():
        assert value not in said.out + said.err
        assert [path for path in written if value.encode() in path.read_bytes()] == []

"""Notebooks as stages: tiny ones, executed for real."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT
from nbformat.v4 import new_code_cell, new_notebook

from xmdpt.stages import notebook

WORK = """
import os, sys
from pathlib import Path
import matplotlib.pyplot as plt
print(run, steps, Path("params.yaml").exists(), os.environ["TQDM_DISABLE"])
for step in range(steps):
    print(f"step {step}", flush=step % 7 == 0)
    print(f"{os.getpid()} at work", file=sys.stderr)
_ = plt.plot([1, 2])
!true
object()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copy(ROOT / "profiles/smoke.yaml", tmp_path / "params.yaml")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, *sources: str) -> Path:
    parameters = new_code_cell(
        'run = "base_b"\nsteps: int = 1', id="parameters", metadata={"tags": ["parameters"]}
    )
    cells = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=[parameters, *cells]), path)
    return path


@pytest.fixture
def run(monkeypatch):
    """`xmdpt run PATH --output OUTPUT --set SETTING ...`: its exit code."""

    def run(path: Path, output: str, *settings: str) -> int:
        arguments = [word for setting in settings for word in ("--set", setting)]
        return xmdpt(monkeypatch, "run", str(path), "--output", output, *arguments)

    return run


def test_two_executions_give_the_same_bytes(run, folder, capfd):
    source = write(folder / "notebooks/work.ipynb", WORK)
    before = source.read_bytes()
    for name in ("first", "second"):
        assert run(source, f"made/{name}/work.ipynb", "steps=300") == 0
    first, second = (folder / f"made/{name}/work.ipynb" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert source.read_bytes() == before

    executed = nbformat.read(first, as_version=4)
    nbformat.validate(executed)
    assert [cell.id for cell in executed.cells] == ["parameters", "injected-parameters", "cell-0"]
    stdout, shown, figure = executed.cells[-1].outputs
    assert stdout.text.startswith("base_b 300 True 1\nstep 0\n")
    assert "lines left out" in stdout.text and stdout.text.endswith("step 299\n")
    assert shown.data["text/plain"] == "<object at 0x...>"
    assert "image/png" in figure.data
    terminal = capfd.readouterr()
    assert "step 150\n" in terminal.out and "at work" in terminal.err
    assert [path.name for path in first.parent.iterdir()] == ["work.ipynb"]


def test_progress_through_the_runs_is_shown_and_not_kept(run, folder, capfd):
    source = write(folder / "notebooks/work.ipynb", "print(run)")
    for name, place in (("base_b", "1 of 2"), ("no_mask", "2 of 2")):
        assert run(source, f"{name}.ipynb", f"run={name}") == 0
        terminal = capfd.readouterr().err
        assert f"{name}: run {place}" in terminal
        assert ("1 run left for this stage, about 0 min" in terminal) == (place[0] == "1")
        assert "of 2" not in Path(f"{name}.ipynb").read_text()


TRACKED = """
from xmdpt.stages.tracking import track
with track("train", run, {"seed": 0}) as tracker:
    tracker.log({"loss": 1.0}, step=0)
print("worked on")
"""


def test_a_key_without_network_is_said_once_and_kept_nowhere(run, folder, capfd, monkeypatch):
    key = "0123456789abcdef" * 2 + "planted0"
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nothing answers
    source = write(folder / "notebooks/tracked.ipynb", TRACKED)
    assert run(source, "made/tracked.ipynb") == 0
    assert "worked on" in (folder / "made/tracked.ipynb").read_text()
    terminal = capfd.readouterr()
    assert terminal.err.count("no answer from 127.0.0.1:9") == 1
    assert key not in terminal.out + terminal.err
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix == ".wandb"]
    assert [path for path in files if key.encode() in path.read_bytes()] == []


def test_a_word_that_is_no_mode_of_wandb_is_refused_before_the_first_cell(
    run, folder, capfd, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    source = write(folder / "notebooks/tracked.ipynb", TRACKED)
    assert run(source, "made/tracked.ipynb") == 2
    said = "error: WANDB_MODE=nonsense: write online, offline or disabled\n"
    assert capfd.readouterr().err == said and not (folder / "made").exists()


def test_a_failing_cell_is_shown_and_kept(run, folder, capfd):
    source = write(folder / "notebooks/bad.ipynb", "print(steps)", "assert run is None, 'no'")
    assert run(source, "made/bad.ipynb") == 1
    error = capfd.readouterr().err
    assert "AssertionError: no" in error and "cell [3] failed" in error
    assert "AssertionError" in (folder / "made/bad.ipynb").read_text()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import sys; sys.exit()", "SystemExit"),
        ("!false", "!false ended with exit code 1"),
        ("import os; os.kill(os.getpid(), 9)", "the kernel died in this cell"),
    ],
)
def test_a_cell_that_ends_the_notebook_early_is_a_failure(run, folder, capfd, line, name):
    source = write(folder / "notebooks/early.ipynb", "print('before')", line, "print('never')")
    assert run(source, "made/early.ipynb") == 1
    executed = nbformat.read(folder / "made/early.ipynb", as_version=4)
    before, early, never = [cell for cell in executed.cells if cell.cell_type == "code"][-3:]
    assert before.outputs[0].text == "before\n" and never.outputs == []
    assert name in str(early.outputs)
    assert "made/early.ipynb" in capfd.readouterr().err


TRAINING = """
import time
from xmdpt.support.notices import Stopped, notices
with notices() as asked:
    print("begun", flush=True)
    while not asked():
        time.sleep(0.1)
    raise Stopped("saved at step 3 of 6")
"""


@pytest.mark.parametrize(
    ("notice", "cell", "said"),
    [
        (
            signal.SIGTERM,
            TRAINING,
            "stopped: saved at step 3 of 6; run the same command to continue\n",
        ),
        (
            signal.SIGUSR1,
            "print('begun', flush=True)\nimport time; time.sleep(600)",
            "stopped: what is finished is kept; run the same command to continue\n",
        ),
    ],
    ids=["training", "anything else"],
)
def test_a_notice_reaches_the_kernel_and_the_notebook_is_kept(folder, notice, cell, said):
    source = write(folder / "notebooks/long.ipynb", "print('before')", cell)
    command = [sys.executable, "-m", "xmdpt", "run", str(source), "--output", "made/long.ipynb"]
    stage = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while stage.stdout.readline() != "begun\n":
        assert stage.poll() is None
    stage.send_signal(notice)
    assert stage.communicate(timeout=300)[1].endswith(said)
    assert stage.returncode == 75
    assert "before" in (folder / "made/long.ipynb").read_text()


def test_the_package_is_a_command_and_a_terminal_in_ascii_does_not_stop_it(folder):
    source = write(folder / "notebooks/arrow.ipynb", "print('a \u2192 b')")
    command = [sys.executable, "-m", "xmdpt", "run", str(source), "--output", "made/arrow.ipynb"]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=ascii_only)
    assert done.returncode == 0 and "a \\u2192 b" in done.stdout


def test_what_remains_of_a_stage_is_said_after_a_success_alone(run, folder, capfd):
    source = write(folder / "notebooks/bad.ipynb", "assert run is None")
    assert run(source, "made/bad.ipynb", "run=base_b") == 1
    assert "made/bad.ipynb" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "from xmdpt.data.deepfashion import DeepFashion as use; use('nowhere', 64)",
            "nowhere: no such folder; the stage `prepare` makes this data set",
        ),
        (
            "from xmdpt.weights.load import load_pipeline as use; use('nowhere')",
            "nowhere: no model_index.json there; name a folder of a pipeline",
        ),
        (
            "from xmdpt.weights.convert import read_checkpoint as use; use('nowhere.pt')",
            "nowhere.pt: no such file",
        ),
    ],
)
def test_bad_data_is_one_line(run, folder, capfd, line, message):
    source = write(folder / "notebooks/data.ipynb", line)
    assert run(source, "made/data.ipynb") == 2
    error = capfd.readouterr().err
    # The thread that watched a kernel of a test before may end aloud meanwhile.
    own = re.sub(r"(?ms)^Exception in thread Heartbeat.*?(?=^error:)", "", error)
    assert [line for line in own.splitlines() if line] == [f"error: {message}"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stpes=3", ["'stpes'", "run, steps"]),
        ("steps", ["NAME=VALUE"]),
        ("run=base_x", ["base_x", "base_b"]),
        ("steps=[1", ["steps=[1", "not a value in YAML"]),
        ("steps=2026-01-01", ["neither text, number, list nor mapping"]),
        ("steps=many", ["must be like its default, 1"]),
        ("steps=true", ["must be like its default, 1"]),
    ],
)
def test_wrong_settings_stop_before_a_kernel_starts(run, folder, capsys, setting, words):
    source = write(folder / "notebooks/work.ipynb", WORK)
    assert run(source, "made/work.ipynb", setting) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and all(word in error for word in words)
    assert not (folder / "made").exists()


def test_wrong_params_stop_before_a_kernel_starts(run, folder, capsys):
    source = write(folder / "notebooks/work.ipynb", WORK)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0", "seed: 0\nsede: 1"))
    assert run(source, "made/work.ipynb") == 2
    assert "sede" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["README.md", "made", "notebooks/work.ipynb"])
def test_an_output_that_would_be_lost_stops_before_a_kernel_starts(run, folder, capsys, output):
    source = write(folder / "notebooks/work.ipynb", WORK)
    (folder / "README.md").write_text("mine")
    (folder / "made").mkdir()
    before = source.read_bytes()
    assert run(source, output) == 2
    error = capsys.readouterr().err
    assert output in error and len(error.splitlines()) == 1
    assert source.read_bytes() == before and (folder / "README.md").read_text() == "mine"


def test_a_parameters_cell_holds_literal_values(run, folder, capsys):
    source = write(folder / "notebooks/work.ipynb", WORK)
    source.write_text(source.read_text().replace("steps: int = 1", "steps = 2 * len('a')"))
    assert run(source, "made/work.ipynb") == 2
    said = capsys.readouterr().err
    assert "may only assign literal values, unlike `steps = 2 * len('a')`" in said


@pytest.mark.parametrize(
    "content", [None, "not a notebook", "[]", '{"cells": 3}', '{"nbformat": 9, "cells": []}']
)
def test_what_is_no_notebook_is_one_line(run, folder, capsys, content):
    source = folder / "notebooks/none.ipynb"
    if content:
        source.write_text(content)
    assert run(source, "made/work.ipynb") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_carriage_returns_overwrite_as_on_a_terminal():
    cell = new_code_cell("")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=text)
        for text in ("\r 1 of 2", "\r 2 of 2", "\r", "done\n")
    ]
    notebook.normalise(new_notebook(cells=[cell]))
    assert [output.text for output in cell.outputs] == ["done\n"]

"""Tracking is for looking: it works without account or network, and never fails a stage."""

import os
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks import make_model
from helpers.repository import ROOT
from helpers.wandb_runs import folders, read_run
from helpers.wandb_server import KEY, wandb_server

from xmdpt.config import ConfigError, load_config
from xmdpt.stages import tracking
from xmdpt.stages.tracking import parameters_in, run_id, track
from xmdpt.support.files import file_digest
from xmdpt.training.train import TrainingModule

pytestmark = pytest.mark.usefixtures("no_account")
PROFILE = ROOT / "profiles/synthetic.yaml"
PICTURE = ROOT / "docs/pictures/grid.png"


def work(tracker: tracking.Tracker) -> None:
    for step in range(3):
        tracker.log({"loss": 1.0 / (step + 1)}, step=step)
    tracker.image("grid", PICTURE, "nothing")
    tracker.summary({"best": 0.3})


def clock(times):
    """For a module in place of `time`, which other threads of this process look at too."""
    return types.SimpleNamespace(monotonic=lambda: next(times))


def fake_wandb(monkeypatch, **names):
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(Settings=dict, **names))


def test_offline_without_account(tmp_path, capfd):
    import huggingface_hub.inference  # noqa: F401 - as pipelines do, which wandb would remark on

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with track("train", "base_b", {"seed": 0}) as tracker:
            work(tracker)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith(run_id("train", "base_b", {"seed": 0}))
    assert list(folder.glob("*.wandb")) and list(folder.rglob("grid_*.png"))
    assert not [path for path in folder.rglob("code/*") if path.is_file()]
    assert capfd.readouterr() == ("", "")


def test_disabled_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with track("train", "base_b", {}) as tracker:
        work(tracker)
    assert list(tmp_path.iterdir()) == []


def test_wandb_that_cannot_start_is_one_warning(monkeypatch):
    def init(**_):
        raise OSError("no room left\nand more")

    fake_wandb(monkeypatch, init=init)
    with pytest.warns(RuntimeWarning, match="no room left$") as caught:  # noqa: SIM117
        with track("train", "base_b", {}) as tracker:
            work(tracker)
    assert len(caught) == 1


def test_wandb_that_breaks_midway_is_one_warning(monkeypatch):
    class Run:
        def log(self, values, step=None):
            if step == 1:
                raise RuntimeError("broken pipe")

    fake_wandb(monkeypatch, init=lambda **_: Run())
    with pytest.warns(RuntimeWarning, match="broken pipe") as caught:  # noqa: SIM117
        with track("train", "base_b", {}) as tracker:
            work(tracker)
    assert len(caught) == 1


def test_a_failing_stage_keeps_its_error(monkeypatch):
    codes = []
    run = types.SimpleNamespace(finish=lambda exit_code: codes.append(exit_code))
    fake_wandb(monkeypatch, init=lambda **_: run)
    with pytest.raises(FloatingPointError), track("train", "base_b", {}):
        raise FloatingPointError
    assert codes == [1]


def test_what_a_run_is_called(monkeypatch):
    started = {}
    fake_wandb(monkeypatch, init=lambda **given: started.update(given))
    monkeypatch.setenv("DVC_STAGE", "train@base_b")
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    with track("train", "base_b", {"seed": 0}):
        pass
    assert started["id"] == run_id("train", "base_b", {"seed": 0})
    assert started["id"] != run_id("train", "base_b", {"seed": 1})
    assert started["mode"] == "offline" and started["resume"] == "allow"
    assert (started["project"], started["job_type"]) == ("xmdpt", "train")
    assert "tidy-owl" in started["tags"]
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with track("train", "base_b", {"seed": 0}):
        pass
    assert started["project"] == "mine"
    assert started["config"]["seed"] == 0 and started["config"]["dvc_stage"] == "train@base_b"
    assert "git_sha" in started["config"]


def test_what_is_left_is_told_beside_what_is_kept(monkeypatch, capsys):
    times = iter([100.0, 120.0, 400.0])
    monkeypatch.setattr(tracking, "time", clock(times))
    tracker = tracking.Tracker()
    for step in (500, 510, 600):  # a resumed run begins with what it found
        tracker.pace(step, 1000)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "2 s a step, 0:16:20 left\n3 s a step, 0:20:00 left\n"


def test_speed_is_that_since_the_last_row(monkeypatch):
    times = iter([100.0, 120.0, 150.0])
    monkeypatch.setattr(tracking, "time", clock(times))
    tracker = tracking.Tracker()
    first, second, third = (tracker.speed(step, 32) for step in (500, 510, 530))
    assert {*first} == {"memory_mb"}, "before it there is nothing to compare with"
    assert (second["step_seconds"], second["pictures_per_second"]) == (2.0, 16.0)
    assert third["step_seconds"] == 1.5
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert third["memory_mb"] >= 0.99 * resident / 1e6, "the most so far is what is there, or more"


def test_parameters_are_counted_from_the_files_heading(tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    assert parameters_in(tmp_path) == model.num_parameters()


def test_a_training_is_logged_with_its_speed(tmp_path):
    with track("train", "base_b", {"seed": 0}) as tracker:
        for step in (10, 20):
            row = {"step": step, "loss": 1.0, "fixed_mse": 0.5, "weight_norm": 3.0}
            tracker.log(row | tracker.speed(step, 32), step=step)
    (folder,) = folders(tmp_path)
    run = read_run(folder)
    assert run.curve("fixed_mse") == {10: 0.5, 20: 0.5} and {*run.curve("memory_mb")} == {10, 20}
    assert run.curve("step_seconds")[20] > 0 and run.curve("pictures_per_second")[20] > 0


def test_runs_are_grouped_by_the_table_that_shows_them(monkeypatch):
    started = {}
    fake_wandb(monkeypatch, init=lambda **given: started.update(given))
    config = load_config(PROFILE, "mdt").model_dump()
    with track("evaluate", "mdt", config):
        pass
    assert (started["group"], started["job_type"]) == ("table_2a", "evaluate")
    assert {"table_2a", "table_2d", "synthetic"} == {*started["tags"]}
    assert started["config"]["row"] == "Transformer + MDT"
    with track("vae", "synthetic", config):
        pass
    assert (started["group"], started["tags"]) == ("synthetic", ["synthetic"])


def test_a_word_that_is_no_mode_is_refused_before_the_work(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    with pytest.raises(ConfigError, match="WANDB_MODE"), track("train", "base_b", {}):
        raise AssertionError("the work began")


def test_without_the_package_the_work_is_done(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.warns(RuntimeWarning, match="wandb"), track("train", "base_b", {}) as tracker:
        work(tracker)


def test_what_is_logged_reads_back(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    sample = {"source": noise[:2], "pose": noise[:2], "ours": noise[1:], "truth": noise[1:]}
    with track("sample", "base_b", {"seed": 0}) as tracker:
        work(tracker)
        for step in (30, 150):
            tracker.grid("pairs", sample, step)
        tracker.table("shown", {"name": ["a", "b"], "made": [*noise[:2]], "file": [PICTURE] * 2})
        tracker.summary({"protocol": "synthetic"})
    (folder,) = folders(tmp_path)
    run = read_run(folder)
    assert run.about["run_id"] == run_id("sample", "base_b", {"seed": 0})
    assert (run.about["project"], run.about["job_type"]) == ("xmdpt", "sample")
    assert run.config["params.yaml sha256"] == file_digest("params.yaml")
    assert run.config["seed"] == 0 and "git_sha" in run.config
    assert run.curve("loss") == {0: 1.0, 1: 0.5, 2: pytest.approx(1 / 3)}
    assert run.summary["best"] == 0.3 and run.summary["protocol"] == "synthetic"
    assert {*run.curve("pairs.height")} == {30, 150}
    height, width = tracking.CELL
    assert {*run.curve("pairs.height").values()} == {2 * height}
    assert {*run.curve("pairs.width").values()} == {4 * width}
    assert run.history[-1]["shown.nrows"] == 2 and run.history[-1]["shown.ncols"] == 3
    for name in ("images/grid_", "images/pairs_", "table/shown_"):
        (found, *_) = [file for file in run.files if f"media/{name}" in file]
        assert (folder / "files" / found).stat().st_size > 0


def test_a_key_is_in_nothing_that_is_written(tmp_path, monkeypatch, capfd):
    key = "0123456789abcdef" * 2 + "planted0"
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nothing answers
    with track("train", "base_b", {"seed": 0}) as tracker:
        work(tracker)
        tracker.table("shown", {"file": [PICTURE]})
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if path.suffix == ".wandb"], "it was logged offline"
    assert [path for path in written if key.encode() in path.read_bytes()] == []
    said = capfd.readouterr()
    assert key not in said.out + said.err and "no answer from 127.0.0.1:9" in said.err


def test_logged_in_it_is_sent_as_it_comes_and_the_key_is_kept_apart(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with track("train", "base_b", {"seed": 0}) as tracker:
            work(tracker)
    (history,) = server.histories.values()
    assert [row["loss"] for row in history][:3] == pytest.approx([1.0, 0.5, 1 / 3])
    assert folders(tmp_path) == []
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written and [path for path in written if KEY.encode() in path.read_bytes()] == []
    said = capfd.readouterr()
    assert KEY not in said.out + said.err


def tiny_step():
    """A real training step at tiny size, as a function of nothing."""
    model = make_model().train()
    module = TrainingModule(model, condition_dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batch = {name: torch.randn(4, 4, 8, 8) for name in ("target_latent", "source_latent", "noise")}
    batch |= {name: torch.randn(4, 17, 516) for name in ("pose_tokens", "source_tokens")}
    tokens = (8 // model.config.patch_size) ** 2
    batch |= {"t": torch.arange(4), "mask_noise": torch.rand(4, tokens), "drop": torch.rand(2, 4)}

    def step():
        losses = module(batch)
        optimizer.zero_grad()
        losses["loss"].mean().backward()
        optimizer.step()
        return {name: value.mean().item() for name, value in losses.items()}

    return step


def test_logging_costs_less_than_a_hundredth_of_a_step():
    """Of every tenth step, as profiles log; a step at full size takes a hundred times longer."""
    step, took = tiny_step(), {"step": [], "log": []}
    every = load_config(PROFILE).train.log_every
    with track("train", "base_b", {}) as tracker:
        for number in range(12):
            begun = time.perf_counter()
            row = step()
            done = time.perf_counter()
            tracker.log(row | tracker.speed(number, 4), step=number)
            took["log"].append(time.perf_counter() - done)
            took["step"].append(done - begun)
        assert tracker._run is not None
    step_time, log_time = (min(took[name]) for name in ("step", "log"))  # the machine undisturbed
    assert log_time / every < 0.01 * step_time

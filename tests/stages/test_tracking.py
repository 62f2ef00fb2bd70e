"""Tracking is for looking: it works without account or network, and never fails a stage."""

import subprocess
import sys
import types
import warnings

import pytest
from helpers.repository import ROOT

from xmdpt.stages import tracking
from xmdpt.stages.tracking import logged_in, run_id, track

PICTURE = ROOT / "docs/pictures/grid.png"


@pytest.fixture(autouse=True)
def no_account(tmp_path, monkeypatch):
    for name in ("API_KEY", "IDENTITY_TOKEN_FILE", "MODE", "BASE_URL", "PROJECT"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def work(tracker: tracking.Tracker) -> None:
    for step in range(3):
        tracker.log({"loss": 1.0 / (step + 1)}, step=step)
    tracker.image("grid", PICTURE, "nothing")
    tracker.summary({"best": 0.3})


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
    assert started["group"] == "tidy-owl"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with track("train", "base_b", {"seed": 0}):
        pass
    assert started["project"] == "mine"
    monkeypatch.setenv("WANDB_API_KEY", "made-up")
    with track("train", "base_b", {"seed": 0}):
        pass
    assert started["mode"] is None, "wandb knows whether `wandb offline` was said"
    assert started["config"]["seed"] == 0 and started["config"]["dvc_stage"] == "train@base_b"
    assert "git_sha" in started["config"]


def test_logged_in(tmp_path, monkeypatch):
    assert not logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password made-up\n")
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "made-up")
    assert logged_in()


def test_importing_does_not_import_wandb():
    code = "import sys, xmdpt.stages.tracking; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_is_left_is_told_beside_what_is_kept(monkeypatch, capsys):
    times = iter([100.0, 120.0, 400.0])
    monkeypatch.setattr(tracking.time, "monotonic", lambda: next(times))
    tracker = tracking.Tracker()
    for step in (500, 510, 600):  # a resumed run begins with what it found
        tracker.pace(step, 1000)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "2 s a step, 0:16:20 left\n3 s a step, 0:20:00 left\n"

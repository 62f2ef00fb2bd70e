"""What was logged offline is sent later, and what does not arrive stays."""

import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT
from helpers.wandb_runs import folders
from helpers.wandb_server import KEY, wandb_server

from xmdpt.stages.sync import offline_runs, run_of
from xmdpt.stages.tracking import run_id, track

RUN = run_id("train", "base_b", {"seed": 0})


@pytest.fixture
def two_parts(no_account):
    """A run that was interrupted at step 3 and went on."""
    for steps in (range(3), range(3, 5)):
        with track("train", "base_b", {"seed": 0}) as tracker:
            for step in steps:
                tracker.log({"loss": float(step)}, step=step)
            tracker.image("grid", ROOT / "docs/pictures/grid.png")
    return no_account


def test_all_offline_runs_are_sent_and_named(two_parts, monkeypatch, capfd):
    first, second = folders(two_parts)
    assert offline_runs() == [first, second] and {run_of(first), run_of(second)} == {RUN}
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_MODE", "offline")  # as where they were logged
        send_all(server, monkeypatch)
    said = capfd.readouterr()
    assert said.out == f"sent: {RUN} ({first})\nsent: {RUN} ({second})\n"
    assert KEY not in said.err
    (history,) = server.histories.values()
    assert [row["loss"] for row in history] == [0, 1, 2, 3, 4], "the curve is whole"
    assert [name for name in server.files if name.startswith("media/images/grid_")]
    assert offline_runs() == []
    assert xmdpt(monkeypatch, "report", "sync") == 0
    assert capfd.readouterr().out == "no offline runs to send\n"


def test_two_parts_of_one_second_are_of_one_run(two_parts):
    first, second = folders(two_parts)
    second = second.rename(first.with_name(f"{first.name}-1"))
    assert offline_runs() == [first, second] and {run_of(first), run_of(second)} == {RUN}


def send_all(server, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert xmdpt(monkeypatch, "report", "sync") == 0


def test_a_clock_that_is_set_back_changes_no_order(two_parts, monkeypatch):
    """Folders are named after the time at which they begin."""
    first, second = folders(two_parts)
    second = second.rename(first.with_name(f"offline-run-20200101_000000-{RUN}"))
    assert offline_runs() == [first, second]
    with wandb_server() as server:
        send_all(server, monkeypatch)
    (history,) = server.histories.values()
    assert [row["loss"] for row in history] == [0, 1, 2, 3, 4]


def test_a_part_that_died_before_it_began_is_passed_over(two_parts):
    first, second = folders(two_parts)
    first.with_name(f"offline-run-20990101_000000-{RUN}").mkdir()
    assert offline_runs() == [first, second]


def test_without_login_it_says_how_many_wait(two_parts, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report", "sync") == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "2 offline runs wait in" in said.err and "`wandb login`" in said.err


def test_what_does_not_arrive_is_named_and_stays(two_parts, monkeypatch, capfd):
    first = folders(two_parts)[0]
    (first / f"run-{RUN}.wandb").write_bytes(b"not a log")
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert xmdpt(monkeypatch, "report", "sync") == 1
    assert f"not sent: {RUN} ({first})\n" in capfd.readouterr().err
    assert first in offline_runs()

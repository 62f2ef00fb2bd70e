"""One owner for each output: who is at work is named, and a dead owner's lock is taken over."""

import subprocess
import sys

import pytest

from xmdpt.support.arguments import BadInput
from xmdpt.support.files import resumable_dir
from xmdpt.support.owner import sole_owner

WORKER = """
import sys
from xmdpt.support.files import resumable_dir
with resumable_dir({out!r}, "key") as work:
    (work / "piece").write_text("done")
    print("begun", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def owner(out):
    """A process at work on `out`, until its input ends."""
    command = [sys.executable, "-c", WORKER.format(out=str(out))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_names_the_first_and_leaves_its_work_alone(out, owner):
    said = f"{out}: process {owner.pid} on .* is at work on it; wait for it, or end it"
    for key in ("key", "other settings"):
        with pytest.raises(BadInput, match=said), resumable_dir(out, key):
            pytest.fail("two at work")
    owner.communicate("")
    assert owner.returncode == 0 and (out / "piece").read_text() == "done"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_the_lock_of_a_dead_owner_is_taken_over(out, owner):
    owner.kill()
    owner.wait()
    assert (out.parent / ".out.lock").exists()
    with resumable_dir(out, "key") as work:
        assert (work / "piece").read_text() == "done"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_who_opened_the_lock_of_one_that_ended_meanwhile_looks_again(out, monkeypatch):
    """Its file is gone then, and a lock on it would hinder nobody."""
    import fcntl

    first = sole_owner(out)
    first.__enter__()
    flock = fcntl.flock

    def ends_before(file, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        first.__exit__(None, None, None)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", ends_before)
    with sole_owner(out), pytest.raises(BadInput), sole_owner(out):
        pytest.fail("two at work")

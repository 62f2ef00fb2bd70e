"""One owner for each output, or shards beside each other: who is at work is named, and the locks
of the dead are taken over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xmdpt.support.arguments import BadInput
from xmdpt.support.files import resumable_dir
from xmdpt.support.owner import sole_owner
from xmdpt.support.shards import NOTES, Shard, shared_dir

WORKER = """
import sys
from xmdpt.support.files import resumable_dir
with resumable_dir({out!r}, "key") as work:
    (work / "piece").write_text("done")
    print("begun", flush=True)
    sys.stdin.read()
"""

SHARD = """
import sys
from xmdpt.support.shards import Shard, note_done, shared_dir
with shared_dir({out!r}, "key", Shard({index}, 2)) as work:
    (work / "{index}.txt").write_text("done")
    note_done(work, {index}, [work / "{index}.txt"])
    print("begun", flush=True)
    sys.stdin.read()
"""


def begin(code):
    """A process that has begun its work, and goes on until its input ends."""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def owner(out):
    """A process at work on `out`, until its input ends."""
    process = begin(WORKER.format(out=str(out)))
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def shards(out):
    """Two shards at work beside each other."""
    processes = [begin(SHARD.format(out=str(out), index=index)) for index in range(2)]
    yield processes
    for process in processes:
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


def test_a_stage_is_kept_out_until_the_last_shard_has_ended(out, shards):
    def refused(said):
        with pytest.raises(BadInput, match=said), resumable_dir(out, "key"):
            pytest.fail("the stage is at work beside its shards")

    first, second = shards
    refused(rf"shard 0/2 \(process {first.pid} on .*\) and 1 more are at work on it; wait for them")
    first.communicate("")
    refused(rf"{out}: shard 1/2 \(process {second.pid} on .*\) is at work on it; wait for it, or")
    second.communicate("")
    assert [first.returncode, second.returncode] == [0, 0]
    with resumable_dir(out, "key", scratch=NOTES):
        pass
    assert sorted(path.name for path in out.iterdir()) == ["0.txt", "1.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["out"], "no lock is left behind"


def test_shards_are_kept_out_while_the_stage_is_at_work(out, owner):
    said = f"{out}: process {owner.pid} on .* is at work on it; wait for it, or end it"
    with pytest.raises(BadInput, match=said), shared_dir(out, "key", Shard(0, 2)):
        pytest.fail("a shard is at work beside its stage")
    owner.communicate("")
    assert owner.returncode == 0


def test_killed_shards_keep_nobody_out(out, shards):
    first, second = shards
    first.kill()
    first.wait()
    with shared_dir(out, "key", Shard(0, 2)) as work:
        assert (work / "0.txt").exists()
        with pytest.raises(BadInput, match=rf"shard 0/2 \(process {os.getpid()} .* and 1 more"):
            sole_owner(out).__enter__()
    second.kill()
    second.wait()
    assert (out.parent / ".out.lock").exists()
    with resumable_dir(out, "key", scratch=NOTES):
        pass
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_shard_after_a_killed_stage_is_named_itself(out, owner):
    owner.kill()
    owner.wait()
    with shared_dir(out, "key", Shard(0, 2)), pytest.raises(BadInput, match=r"out: shard 0/2 \("):
        sole_owner(out).__enter__()


def test_the_lock_file_goes_before_others_may_have_it(out, monkeypatch):
    unlink = Path.unlink

    def another_tries_first(lock, **options):
        monkeypatch.undo()
        with pytest.raises(BadInput):
            sole_owner(out).__enter__()
        unlink(lock, **options)

    with sole_owner(out):
        monkeypatch.setattr(Path, "unlink", another_tries_first)
    assert [*out.parent.iterdir()] == []

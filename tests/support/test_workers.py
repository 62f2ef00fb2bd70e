"""Jobs side by side: each in its own process, on its own core, and none hides another's failure."""

import json
import os
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from helpers.gpu_job import note_gpus
from helpers.jobs import note_process
from helpers.repository import ROOT

from xmdpt.support import workers
from xmdpt.support.workers import Place, default_workers, side_by_side


def test_each_job_has_a_process_and_a_thread_and_a_core(tmp_path):
    done = dict(side_by_side(partial(note_process, folder=tmp_path), ["a", "bad", "b"], 2))
    assert done == {"a": True, "bad": False, "b": True}
    notes = [json.loads((tmp_path / job).read_text()) for job in "ab"]
    assert len({note["process"] for note in notes} | {os.getpid()}) == 3
    assert all(note["threads"] == 1 for note in notes)
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) >= 2:
        assert all(len(note["cores"]) == 1 for note in notes)


def test_no_job_is_no_work():
    before = threading.active_count()
    assert [*side_by_side(print, [], 3)] == []
    assert threading.active_count() == before


def test_gpus_are_taken_in_turn_and_cores_one_each(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {9, 2, 7, 5}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: None, raising=False)
    assert default_workers() == 4
    assert [place.core for place in workers._places(3)] == [2, 5, 7]
    assert workers._places(5) == [Place()] * 5, "more than there are"
    monkeypatch.setattr(workers, "gpu_count", lambda: 2)
    assert default_workers() == 2
    places = workers._places(3)
    assert [(place.gpu, place.core, place.threads) for place in places] == [
        (0, None, 1), (1, None, 1), (0, None, 1),
    ]  # fmt: skip
    assert workers._places(2)[0].threads == 2


def test_a_job_finds_its_gpu_alone_even_when_it_is_imported(tmp_path, monkeypatch):
    """Later is too late: CUDA keeps the GPUs that were visible when it was first asked for any."""
    monkeypatch.setattr(workers, "gpu_count", lambda: 2)
    monkeypatch.setenv(workers.VISIBLE, "GPU-5f, GPU-a1")
    assert dict(side_by_side(partial(note_gpus, folder=tmp_path), "ab", 2)) == {
        "a": True,
        "b": True,
    }
    assert {(tmp_path / job).read_text() for job in "ab"} == {"GPU-5f", "GPU-a1"}


@pytest.mark.parametrize(
    ("given", "second"), [(None, "1"), ("4,6", "6"), ("GPU-5f, GPU-a1", "GPU-a1")]
)
def test_a_gpu_is_called_as_it_is_called_here(monkeypatch, given, second):
    monkeypatch.setenv(workers.VISIBLE, given or "")
    if given is None:
        monkeypatch.delenv(workers.VISIBLE)
    with workers._visible(1):
        assert os.environ[workers.VISIBLE] == second
    assert os.environ.get(workers.VISIBLE) == given, "it is ours again"


def test_whoever_asks_for_no_more_waits_for_the_jobs_at_work_alone(tmp_path):
    """So it is at Ctrl-C, which ends the loop over the jobs."""
    done = side_by_side(partial(note_process, folder=tmp_path), ["a", "b", "c", "d"], 1)
    assert next(done) == ("a", True)
    done.close()  # by now the next may have begun
    assert not {"c", "d"} & {path.name for path in tmp_path.iterdir()}


def test_where_no_process_can_be_started_the_next_job_does_not_wait_for_its_place(tmp_path):
    """Such as where memory is short; here what the first job holds cannot be handed over."""
    jobs, ended = [threading.Lock(), "a"], []

    def carry_out():
        with pytest.raises(TypeError, match="pickle"):
            dict(side_by_side(partial(note_process, folder=tmp_path), jobs, 1))
        ended.append(True)

    waiting = threading.Thread(target=carry_out, daemon=True)
    waiting.start()
    waiting.join(300)
    assert ended, "it waits for ever"


def test_a_notice_goes_to_the_jobs_and_no_more_begin(tmp_path):
    """The first two save and end; the third never begins."""
    code = f"""
from functools import partial
from pathlib import Path
from helpers.jobs import save_at_notice
from xmdpt.support.ends import in_one_line
from xmdpt.support.workers import side_by_side
if __name__ == "__main__":
    with in_one_line():
        print(dict(side_by_side(partial(save_at_notice, folder=Path({str(tmp_path)!r})), "abc", 2)))
"""
    script = tmp_path / "jobs.py"
    script.write_text(code)
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    parent = subprocess.Popen([sys.executable, script], env=env, stderr=subprocess.PIPE, text=True)
    while len([*tmp_path.glob("?.begun")]) < 2:
        assert parent.poll() is None
        time.sleep(0.1)
    parent.terminate()
    said = parent.communicate(timeout=300)[1]
    assert parent.returncode == 75, said
    assert said.count("stopped: saved; run the same command to continue") == 2
    assert sorted(path.name for path in tmp_path.glob("*.saved")) == ["a.saved", "b.saved"]

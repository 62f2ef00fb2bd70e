"""Jobs side by side: each in its own process, on its own core, and none hides another's failure."""

import json
import os
import threading
from functools import partial

from helpers.jobs import note_process

from xmdpt.support.workers import side_by_side


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

"""Work that a process of its own can import."""

import json
import os
import time


def note_process(job, folder):
    """Note where a job ran; the job `bad` fails."""
    import torch

    if job == "bad":
        raise ValueError("a bad job")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    note = {"process": os.getpid(), "cores": cores, "threads": torch.get_num_threads()}
    (folder / job).write_text(json.dumps(note))


def save_at_notice(job, folder):
    """Work until a notice comes, then save and end."""
    from xmdpt.support.notices import Stopped, notices

    with notices() as asked:
        (folder / f"{job}.begun").touch()
        while not asked():
            time.sleep(0.1)
        (folder / f"{job}.saved").touch()
        raise Stopped("saved")

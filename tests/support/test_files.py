"""Files and folders that are whole or absent."""

import signal
import subprocess
import sys

from xmdpt.support.files import atomic_path, resumable_dir


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    try:
        with atomic_path(path) as partial:
            partial.write_text("half")
            raise RuntimeError
    except RuntimeError:
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "before"


def test_what_a_killed_process_left_half_written_is_not_kept(tmp_path):
    out = tmp_path / "out"
    code = f"""
import os, signal
from xmdpt.support.files import atomic_path
from xmdpt.support.files import resumable_dir
with resumable_dir({str(out)!r}, "key") as work:
    with atomic_path(work / "main/done.png") as path:
        path.write_text("done")
    with atomic_path(work / "main/next.png") as path:
        path.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code])
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    with resumable_dir(out, "key") as work:
        assert [file.name for file in (work / "main").iterdir()] == ["done.png"]
        (work / "main/next.png").write_text("done")
    assert sorted(file.name for file in out.rglob("*.png")) == ["done.png", "next.png"]

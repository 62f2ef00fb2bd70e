"""Files and folders that are whole or absent."""

import os
import signal
import subprocess
import sys

import pytest

from xmdpt.support.arguments import BadInput
from xmdpt.support.files import atomic_files, atomic_path, resumable_dir


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


def test_a_link_is_refused_before_the_work_and_not_after_it(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/old.txt").write_text("old")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(BadInput, match=r"out: is a link, which cannot be replaced; .*whole clone"),
        resumable_dir(tmp_path / "out", "key"),
    ):
        pytest.fail("the block began")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]
    assert (tmp_path / "out/old.txt").read_text() == "old"


def test_hidden_files_of_libraries_do_not_reach_the_output(tmp_path):
    """safetensors writes under a hidden name too, and leaves it when it is killed."""
    out = tmp_path / "out"
    with resumable_dir(out, "key", keep=True) as work:
        (work / "main").mkdir()
        (work / "main/done.png").write_text("done")
        (work / "main/.tmpAb12").write_text("half")
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["done.png"]
    with resumable_dir(out, "key", keep=True) as work:
        assert not (work / "main/.tmpAb12").exists()


def test_what_resumes_outlives_a_kill_while_the_output_is_put_in_place(tmp_path):
    out = tmp_path / "out"
    code = f"""
import os, signal
from xmdpt.support import files
files.os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
with files.resumable_dir({str(out)!r}, "key", scratch="state*") as work:
    (work / "state.pt").write_text("days of work")
    (work / "weights").write_text("weights")
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    with resumable_dir(out, "key", scratch="state*") as work:
        assert (work / "state.pt").read_text() == "days of work"
    assert [path.name for path in out.iterdir()] == ["weights"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_a_library_writes_replaces_files_one_by_one(tmp_path):
    (tmp_path / "config.json").write_text("before")
    (tmp_path / "other").write_text("stays")
    with pytest.raises(KeyboardInterrupt), atomic_files(tmp_path) as folder:
        (folder / "config.json").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "config.json").read_text() == "before"
    with atomic_files(tmp_path) as folder:
        (folder / "config.json").write_text("after")
    names = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert names == {"config.json": "after", "other": "stays"}


def test_what_other_settings_left_is_said_where_notebooks_do_not_keep_it(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt), resumable_dir(tmp_path / "out", "other"):
        raise KeyboardInterrupt
    with resumable_dir(tmp_path / "out", "key"):
        pass
    said = capsys.readouterr()
    assert said.out == "" and "unfinished work with other settings" in said.err


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: fsync(file) or done.append(os.fstat(file).st_ino))
    monkeypatch.setattr(os, "replace", lambda *paths: replace(*paths) or done.append("named"))
    with atomic_path(tmp_path / "a") as partial:
        partial.write_text("a")
    assert done == [(tmp_path / "a").stat().st_ino, "named"]
    done.clear()
    with resumable_dir(tmp_path / "out", "key") as work:
        (work / "b").write_text("b")
    assert done == [(tmp_path / "out/b").stat().st_ino, "named"]

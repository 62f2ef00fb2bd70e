"""Working folders of finished stages: deleted when DVC has the outputs on record, not before."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from xmdpt.stages.kept import drop_recorded, folder_digest, keep_for_stage
from xmdpt.support.files import resumable_dir, working_path
from xmdpt.support.owner import sole_owner

FILES = {"history.tsv": "step\n1\n", "main/config.json": "{}", "main/weights": "abc"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with resumable_dir("models/base_b", "key", keep=True, scratch="state*") as work:
        (work / "main").mkdir()
        for name, text in FILES.items():
            (work / name).write_text(text)
        (work / "state.pt").write_text("large")
    return tmp_path


def record(root, **changes):
    """Write dvc.lock as DVC does for models/base_b, with changes."""
    out = {"path": "models/base_b", "hash": "md5", "nfiles": len(FILES)}
    out["size"] = sum(map(len, FILES.values()))
    out["md5"] = folder_digest(root / "models/base_b", [*FILES])
    stages = {"train@base_b": {"cmd": "train", "outs": [out | changes, {"path": "a.ipynb"}]}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def is_kept(root):
    return working_path(root / "models/base_b", "key").is_dir()


def test_the_digest_is_the_one_that_dvc_records(root):
    for words in (["init", "-q", "--no-scm"], ["add", "-q", "models/base_b"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True)
    [out] = yaml.safe_load((root / "models/base_b.dvc").read_text())["outs"]
    assert out["md5"] == folder_digest(root / "models/base_b", [*FILES])


def test_what_is_recorded_is_deleted(root):
    record(root)
    drop_recorded(root)
    assert os.listdir(root / "models") == ["base_b"]
    assert {name: (root / "models/base_b" / name).read_text() for name in FILES} == FILES


@pytest.mark.parametrize(
    "changes", [{"md5": "0" * 32 + ".dir"}, {"size": 1}, {"nfiles": 1}, {"path": "models/no_mask"}]
)
def test_another_record_keeps_it(root, changes):
    record(root, **changes)
    drop_recorded(root)
    assert is_kept(root)


def test_no_record_at_all_keeps_it(root):
    drop_recorded(root)
    (root / "dvc.lock").write_text("stages: [")
    drop_recorded(root)
    assert is_kept(root)


def test_what_another_process_works_on_is_left_alone(root):
    record(root)
    with sole_owner(root / "models/base_b"):
        drop_recorded(root)
    assert is_kept(root)


def test_unfinished_work_is_never_deleted(root):
    record(root)
    with pytest.raises(KeyboardInterrupt), resumable_dir("models/base_b", "key", keep=True):
        raise KeyboardInterrupt
    drop_recorded(root)
    assert is_kept(root)


def test_what_was_made_ahead_is_kept_until_its_stage_has_taken_it_over(root):
    """The record may be an earlier one, of the same bytes."""
    record(root)
    keep_for_stage(root / "models/base_b")
    drop_recorded(root)
    assert is_kept(root)
    with resumable_dir("models/base_b", "key", keep=True, scratch="state*"):
        pass  # its stage
    drop_recorded(root)
    assert not is_kept(root)


def test_the_work_of_a_stage_that_dvc_carries_out_again_is_kept(root):
    record(root)
    shutil.rmtree(root / "models/base_b")  # as DVC does before it
    drop_recorded(root)
    assert is_kept(root)


def test_people_one_folder_deeper_are_dropped_too(root):
    with resumable_dir("data/wide/people", "key", keep=True) as work:
        (work / "a.jpg").write_text("a")
    digest = folder_digest(root / "data/wide/people", ["a.jpg"])
    out = {"path": "data/wide/people", "nfiles": 1, "size": 1, "md5": digest}
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"prepare": {"outs": [out]}}}))
    drop_recorded(root)
    assert not working_path(root / "data/wide/people", "key").exists()

"""Writes that the system refuses: one line with the cause, the file and the cure."""

import errno
import os
import resource
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from xmdpt.support.arguments import BadInput
from xmdpt.support.disk import DiskError, disk_errors
from xmdpt.support.files import atomic_files, atomic_path, write_json

LIMIT = 10_000  # bytes
NOISE = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)


@contextmanager
def small_files():
    """A system that takes no file above `LIMIT`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


WRITERS = {
    "text": lambda path: path.write_text("a" * 2 * LIMIT),
    "torch": lambda path: torch.save({"weights": torch.zeros(LIMIT)}, path),
    "safetensors": lambda path: save_file({"weights": torch.zeros(LIMIT)}, path),
    "picture": lambda path: Image.fromarray(NOISE).save(path, format="png"),
    "numpy": lambda path: np.savez(path, points=np.zeros(LIMIT)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_write_that_is_refused_names_file_cause_and_cure(tmp_path, kind):
    path = tmp_path / "made" / "file.npz"
    said = f"^{path}: file too large; raise the limit on the size of files"
    with (
        small_files(),
        pytest.raises(DiskError, match=said) as caught,
        atomic_path(path) as partial,
    ):
        WRITERS[kind](partial)
    assert "\n" not in str(caught.value)
    assert [*path.parent.iterdir()] == []


def test_a_folder_that_a_library_cannot_write_is_named(tmp_path):
    with (
        small_files(),
        pytest.raises(DiskError, match=f"^{tmp_path}.*: file too large; raise"),
        atomic_files(tmp_path) as folder,
    ):
        WRITERS["safetensors"](folder / "weights")
    assert [*tmp_path.iterdir()] == []


def test_an_error_of_our_own_passes_whatever_it_came_from(tmp_path):
    with pytest.raises(BadInput, match="not a readable picture"), disk_errors(tmp_path):
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "a.jpg")
        except OSError:
            raise BadInput("a.jpg: not a readable picture") from None


def test_an_error_of_another_kind_passes(tmp_path):
    with pytest.raises(RuntimeError, match="a bug"), atomic_path(tmp_path / "a") as partial:
        partial.write_text("half")
        raise RuntimeError("a bug")
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "nowhere").read_text()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_the_file_that_the_system_names_is_the_one_said(tmp_path, number):
    reason = os.strerror(number).lower()
    with pytest.raises(DiskError, match=f"^elsewhere: {reason}; "), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number), "elsewhere")
    with pytest.raises(DiskError, match=f"^{tmp_path}: {reason}; "), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_full_device_is_said_with_what_to_do(tmp_path):
    said = "no space left on device; free some space, then run the same"
    with (
        pytest.raises(DiskError, match=said),
        disk_errors(tmp_path),
        open("/dev/full", "w") as full,
    ):
        full.write("a")
        full.flush()


def test_a_small_file_is_written_under_the_same_limit(tmp_path):
    with small_files():
        write_json(tmp_path / "a.json", {"a": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'

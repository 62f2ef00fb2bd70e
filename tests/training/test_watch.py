"""Processes that end together: what counts as gone or hanging, and what does not."""

import pytest

from xmdpt.training.watch import BEHIND, BUSY, DONE, SILENT, fault

WELL = [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("notes", "silent", "still"),
    [
        (["7", "7", "7"], WELL, 10 * BEHIND),  # all compute, or compile, for long
        (["7", "6", "7"], WELL, BEHIND / 2),
        (["6", "7", BUSY], WELL, 10 * BEHIND),  # the third writes a checkpoint
        (["8", DONE, "8"], [0, 10 * SILENT, 0], 10 * BEHIND),
    ],
)
def test_what_takes_its_time_is_no_fault(notes, silent, still):
    assert fault(notes, silent, still) is None


def test_who_is_silent_is_named_whatever_it_did():
    for note in ("7", BUSY):
        said = fault(["7", "7", note], [1, 2, SILENT + 1], 0)
        assert said is not None and said.startswith("process 2 has not been heard of for 21 s")


def test_who_is_behind_while_the_others_wait_is_named():
    said = fault(["7", "6", "7"], WELL, BEHIND + 1)
    assert said == "process 1 hangs: the others have waited 41 s for it, before its step 4"

"""Imports without looking for garbage."""

import gc
import subprocess
import sys

import pytest

from xmdpt.support.start import without_collecting


def test_nothing_is_collected_in_the_block_and_what_it_leaves_stays_out_of_sight():
    collections = []

    def note(phase, info):
        collections.append(phase)

    gc.callbacks.append(note)
    try:
        before = gc.get_freeze_count()
        with pytest.raises(ImportError), without_collecting():
            collections.clear()
            kept = [[] for _ in range(200_000)]
            assert collections == []
            raise ImportError
        assert gc.isenabled() and gc.get_freeze_count() >= before + len(kept)
        more = [[] for _ in range(10_000)]
        assert collections and more, "later garbage is looked for again"
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()


def test_what_the_block_leaves_is_cleared_away_when_the_process_ends():
    code = """
import os
from xmdpt.support.start import without_collecting

class Loop:
    def __init__(self):
        self.itself = self

    def __del__(self, write=os.write):
        write(1, b"cleared")

with without_collecting():
    loop = Loop()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"cleared"

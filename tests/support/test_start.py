"""Imports without looking for garbage."""

import gc

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

"""Long work says how far it is, also where nobody sees a bar."""

import types

import pytest

from xmdpt.support import progress


@pytest.fixture
def clock(monkeypatch):
    """Sets what the module takes for the time, which other threads of this process look at too."""

    def to(*times):
        left = iter(times)
        monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(left)))

    return to


def test_a_training_says_how_far_it_is(capsys, clock):
    clock(0.0, 1.0, 30.0, 100.0, 110.0)
    say = progress.saying("base_b", 1000)
    for step in (100, 200, 300, 400):
        say({"step": step, "loss": 0.5})
    assert capsys.readouterr().err == "base_b: step 300 of 1000, loss 0.5000, 0.1 h left\n"


def test_where_bars_are_off_a_line_says_how_far_it_is(capsys, clock, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    clock(0.0, 30.0, 3600.0, 3610.0)
    assert [*progress.told([5, 6, 7], "shards")] == [5, 6, 7]
    assert capsys.readouterr().err == "shards: 2 of 3, 0.5 h left\n"


def test_where_there_are_bars_no_line_is_said(capsys, clock, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    clock(0.0, 3600.0)
    assert [*progress.told([5], "shards")] == [5]
    assert "h left" not in capsys.readouterr().err

"""A scheduler's notices: seen, and heeded once."""

import os
import signal
import threading

import pytest

from xmdpt.support.ends import in_one_line
from xmdpt.support.notices import NOTICES, Stopped, notices, stop_if


@pytest.fixture(autouse=True)
def own_handlers():
    before = {number: signal.getsignal(number) for number in NOTICES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NOTICES)
def test_a_notice_is_seen_and_what_follows_is_ignored(number):
    with notices() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
    os.kill(os.getpid(), number)  # would end the tests
    assert signal.getsignal(number) == signal.SIG_IGN


def test_without_a_notice_all_is_as_before():
    before = [signal.getsignal(number) for number in NOTICES]
    with notices():
        pass
    assert [signal.getsignal(number) for number in NOTICES] == before


def test_while_there_is_nothing_to_save_it_ends_at_once():
    unsaved = []
    with pytest.raises(Stopped, match="nothing to save"), notices(stop_if(lambda: not unsaved)):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")
    unsaved.append(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with notices(stop_if(lambda: not unsaved)) as asked:
        os.kill(os.getpid(), signal.SIGTERM)
    assert asked()


def test_another_thread_sees_none_and_does_not_fail():
    seen = []

    def work():
        with notices() as asked:
            seen.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            Stopped("saved at step 3"),
            75,
            "stopped: saved at step 3; run the same command to continue\n",
        ),
        (OSError(28, "No space left", "a.bin"), 2, "error: a.bin: No space left\n"),
    ],
)
def test_a_process_ends_in_one_line_and_a_code_that_says_why(capsys, error, code, said):
    with pytest.raises(SystemExit) as ended, in_one_line():
        raise error
    assert ended.value.code == code and capsys.readouterr().err == said

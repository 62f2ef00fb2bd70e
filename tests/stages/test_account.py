"""Whether and how W&B is reached, which takes no more than a few seconds to find out."""

import socket
from functools import partial

import pytest
from helpers.wandb_server import wandb_server

from xmdpt.config import ConfigError
from xmdpt.stages import account
from xmdpt.stages.account import (
    PATIENCE,
    asked_mode,
    choose_mode,
    logged_in,
    obstacle,
    reachable,
)
from xmdpt.support.network import answers

pytestmark = pytest.mark.usefixtures("no_account")


@pytest.fixture
def silent(monkeypatch):
    """A server that takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield server


def test_logged_in(tmp_path, monkeypatch):
    assert not logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password made-up\n")
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "made-up")
    assert logged_in()


def test_a_word_that_is_no_mode_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    for ask in (asked_mode, choose_mode):
        with pytest.raises(
            ConfigError, match=r"^WANDB_MODE=nonsense: write online, offline or disabled$"
        ):
            ask()
    for mode in ("offline", "disabled"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert choose_mode() == mode
    monkeypatch.setenv("WANDB_MODE", "")
    assert asked_mode() is None


def test_a_key_without_an_answer_is_offline_and_said_once_in_time(silent, monkeypatch, capsys):
    """Who waits for a word of this server waits for ever."""
    monkeypatch.setenv("WANDB_API_KEY", "made-up")
    monkeypatch.setattr(account, "answers", partial(answers, seconds=PATIENCE / 20))
    assert choose_mode() == "offline"
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert f"within {PATIENCE:g} seconds" in said.err and "xmdpt report sync" in said.err
    assert "made-up" not in said.err


def test_a_password_in_the_address_is_not_said(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_BASE_URL", "http://me:secret@127.0.0.1:9")
    assert "http://127.0.0.1:9" in obstacle() and "secret" not in obstacle()
    monkeypatch.setenv("WANDB_API_KEY", "made-up")
    assert choose_mode() == "offline"
    said = capsys.readouterr().err
    assert "no answer from 127.0.0.1:9" in said and "secret" not in said


def test_without_a_key_nothing_is_asked_and_nothing_said(silent, capsys):
    assert choose_mode() == "offline"
    silent.setblocking(False)
    with pytest.raises(BlockingIOError):  # nobody has called
        silent.accept()
    assert capsys.readouterr() == ("", "")


def test_what_answers_is_reached(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "made-up")
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        assert reachable()
        assert choose_mode() is None, "wandb knows whether `wandb offline` was said"
        monkeypatch.setenv("WANDB_MODE", "online")
        assert choose_mode() == "online"
    assert not reachable(), "the port is closed now"
    assert choose_mode() == "offline"


def test_another_server_is_known_from_its_login(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    (tmp_path / "settings").write_text("[default]\nbase_url = https://wandb.example.org\n")
    (tmp_path / "netrc").write_text("machine wandb.example.org login user password made-up\n")
    assert logged_in()

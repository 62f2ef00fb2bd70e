"""The command line, as a user calls it."""

import sys

from xmdpt import cli


def xmdpt(monkeypatch, *words: str) -> int:
    """The exit code of `xmdpt WORDS`."""
    monkeypatch.setattr(sys, "argv", ["xmdpt", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0

"""The command line, as a user calls it."""

import json
import sys
from typing import Any

from xmdpt import cli


def xmdpt(monkeypatch, *words: str) -> int:
    """The exit code of `xmdpt WORDS`."""
    monkeypatch.setattr(sys, "argv", ["xmdpt", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def both(monkeypatch, capsys, *words: str, code: int = 0, flag=("--json",)) -> tuple[str, Any]:
    """What `xmdpt WORDS` says, and its answer to a script: all that is on standard output."""
    said = []
    for more in ((), flag):
        assert xmdpt(monkeypatch, *map(str, (*words, *more))) == code
        said.append(capsys.readouterr().out)
    return said[0], json.loads(said[1])

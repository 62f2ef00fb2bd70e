"""What a command answers: words for people or, with --json, one JSON value for scripts."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Any

import typer

from xmdpt.support.files import finite

AsJson = Annotated[
    bool, typer.Option("--json", help="Print only JSON on standard output, for scripts.")
]
Answer = Callable[[str, Any], None]


@contextmanager
def answers(as_json: bool) -> Iterator[Answer]:
    """Yield how a command answers: by its words or, with `as_json`, by the value beside them.

    Then whatever else the block prints goes to standard error.
    """
    if not as_json:
        yield lambda words, value: print(words)
        return
    out = sys.stdout
    with redirect_stdout(sys.stderr):
        yield lambda words, value: print(json.dumps(finite(value), indent=2, default=str), file=out)

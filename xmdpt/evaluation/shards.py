"""Pairs scored in shards: the rows of each batch are kept until the stage takes them together."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xmdpt.evaluation.results import READING, Match
from xmdpt.support.arguments import BadInput
from xmdpt.support.disk import disk_errors
from xmdpt.support.files import atomic_path, code_key, fingerprint
from xmdpt.support.owner import sole_owner
from xmdpt.support.shards import Shard, note_done, pieces_left

Score = Callable[[Sequence[Match]], pd.DataFrame]
CODE = ("evaluation/*.py", "metrics/*.py", *READING)
"""The code that scores, whose older rows must not be taken for its own."""


@dataclass(frozen=True)
class RowStore:
    """A folder for the rows of scored batches, and this process's share of these; None is all."""

    folder: Path
    shard: Shard | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Score into it: a shard beside others, or all of it alone.

        Raises BadInput, which names who is in the way.
        """
        with disk_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self.shard.at_work(self.folder) if self.shard else sole_owner(self.folder):
                yield

    def forget(self) -> None:
        """Delete them: call it once what was made of them is written."""
        with suppress(BadInput), sole_owner(self.folder):  # of a shard that has just begun, no harm
            shutil.rmtree(self.folder, ignore_errors=True)


def row_store(run: str, shard: Shard | None = None) -> RowStore:
    """Where the stage `evaluate` of a run keeps its rows."""
    return RowStore(Path("data/cache/scores") / run, shard)


def _path(work: Path, number: int) -> Path:
    return work / f"rows-{number:05d}.json"


def score_batches(
    batches: Sequence[Sequence[Match]], score: Score, store: RowStore | None, key: str
) -> list[pd.DataFrame]:
    """The rows of every batch, or with `store` of its share, where rows that are there are read.

    `key` identifies all that the rows depend on but our own code.
    """
    if store is None:
        return [score(batch) for batch in batches]
    work = store.folder / fingerprint(key, code_key(*CODE))
    with disk_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    for number, batch in pieces_left(work, batches, store.shard).items():
        path = _path(work, number)
        with atomic_path(path) as partial:  # JSON in Python keeps floats to the bit
            partial.write_text(json.dumps(score(batch).to_dict("list")))
        note_done(work, number, [path])
    own = (store.shard or Shard()).of(range(len(batches)))
    return [pd.DataFrame(json.loads(_path(work, number).read_text())) for number in own]

"""Long work in numbered pieces that processes and machines share: one rule for all stages.

Shard i of n does every n-th piece, from the i-th on, in a working folder that all of them see. A
note beside a finished piece holds the sizes and digests of its files. Nobody waits for anybody:
the stage itself, without a shard, does what nobody did, checks all of it, and gives the result the
bytes of one process.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

from xmdpt.support.arguments import BadInput
from xmdpt.support.disk import disk_errors
from xmdpt.support.files import file_digest, working_path, write_json
from xmdpt.support.owner import part_owner

T = TypeVar("T")
NOTES = "[0-9]*.json"
"""The notes, which `resumable_dir` leaves out of what is finished."""


class Made(TypedDict):
    """A file of a finished piece."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """Share number `index`, from 0, of `count`."""

    index: int = 0
    count: int = 1

    def of(self, pieces: Sequence[T]) -> Sequence[T]:
        """Every `count`-th of the pieces."""
        return pieces[self.index :: self.count]

    @contextmanager
    def at_work(self, path: Path) -> Iterator[None]:
        """Work on `path` beside other shards; the stage itself is kept out, or keeps us out.

        Raises BadInput, which names the process that carries the stage out.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with part_owner(path, f"shard {self.index}/{self.count}"):
            yield


def read_shard(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard `i/n`, by default what torchrun says by RANK and WORLD_SIZE.

    Raises BadInput for anything else.
    """
    if text is None:
        try:
            text = f"{environment['RANK']}/{environment['WORLD_SIZE']}"
        except KeyError:
            raise BadInput(
                "--shard: needs i/n, as in 0/8 for the first of eight, where torchrun has not set "
                "RANK and WORLD_SIZE"
            ) from None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise BadInput(f"--shard {text}: needs i/n with i from 0 to n-1, as in 0/8 to 7/8")
    return Shard(int(match[1]), int(match[2]))


@contextmanager
def shared_dir(path: str | Path, key: str, shard: Shard) -> Iterator[Path]:
    """Yield the working folder of `resumable_dir`, in which several shards are at work at once.

    Half-written files in it may be another shard's, so they are left alone. Raises BadInput where
    the stage itself is at work on `path`.
    """
    folder = working_path(path, key)
    with disk_errors(folder), shard.at_work(Path(path)):
        folder.mkdir(exist_ok=True)
        yield folder


def _note(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.json"


def note_done(folder: Path, number: int, files: Iterable[Path]) -> None:
    """Mark piece `number` as finished; `files`, in `folder`, are what it made."""
    made = {
        path.relative_to(folder).as_posix(): Made(
            bytes=path.stat().st_size, sha256=file_digest(path)
        )
        for path in files
    }
    write_json(_note(folder, number), made)


def is_noted(folder: Path, number: int) -> bool:
    """Whether piece `number` has a note; its files are not looked at."""
    return _note(folder, number).exists()


def made_by(folder: Path, number: int) -> dict[str, Made]:
    """What the note of a finished piece says of its files, by their names in `folder`."""
    made: dict[str, Made] = json.loads(_note(folder, number).read_text())
    return made


def _is_whole(folder: Path, number: int) -> bool:
    """Whether a piece is finished; what has changed since is deleted, and its note with it."""
    note = _note(folder, number)
    if not note.exists():
        return False
    try:
        wanted = {
            folder / name: (made["bytes"], made["sha256"])
            for name, made in made_by(folder, number).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # the note itself is damaged
        note.unlink()
        return False
    for path, about in wanted.items():
        if not path.is_file() or (path.stat().st_size, file_digest(path)) != about:
            print(f"{path}: missing or damaged since it was written; made again", file=sys.stderr)
            path.unlink(missing_ok=True)
            note.unlink(missing_ok=True)
    return note.exists()


def pieces_left(folder: Path, pieces: Sequence[T], shard: Shard | None = None) -> dict[int, T]:
    """The pieces of `shard`, or all of them, that are not finished, by number.

    Finished ones are compared with their notes.
    """
    numbered = (shard or Shard()).of([*enumerate(pieces)])
    return {number: piece for number, piece in numbered if not _is_whole(folder, number)}

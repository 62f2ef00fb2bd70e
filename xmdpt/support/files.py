"""Atomic files, resumable folders and fingerprints: what is written is whole or absent."""

import codecs
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xmdpt.support.arguments import BadInput
from xmdpt.support.disk import disk_errors
from xmdpt.support.owner import sole_owner


def fingerprint(*parts: object) -> str:
    """Twelve hex digits that identify the JSON form of `parts`."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_key(*patterns: str) -> str:
    """A key for those source files of this package: what other code made is out of date."""
    package = Path(__file__).parents[1]
    found = {path for pattern in patterns for path in package.glob(pattern)}
    return fingerprint([file_digest(path) for path in sorted(found)])


def decode_text(content: bytes) -> str:
    """The text in the bytes of a file: UTF-8, or UTF-16 where a byte order mark says so.

    Raises ValueError, which names the line and the cure, for any other encoding: which of several
    it is cannot be told from the bytes.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise ValueError("not a text file; copy it again, or save it as UTF-8") from None
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"line {line} is not UTF-8 (byte {content[error.start]:#x}); an older encoding, such "
            "as Latin-1? Convert it: iconv -f latin1 -t utf-8 FILE"
        ) from None


_PARTIAL = ".partial-"
"""Part of the hidden name of an unfinished file or folder."""
_WHOLE = "-whole"
_FINISHED = ".finished"
"""In a working folder that is kept: the names of the files that went out, a line each."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling to write to; it becomes `path` only if the block succeeds.

    Raises DiskError where it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}{_PARTIAL}{os.getpid()}{path.suffix}")
    try:
        with disk_errors(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_files(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to write to; its files then go to `folder`, each of them whole.

    For libraries that write a folder of files themselves. Raises DiskError as `atomic_path` does.
    """
    folder = Path(folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=folder) as name:
            made = Path(name)
            yield made
            for partial in sorted(path for path in made.rglob("*") if path.is_file()):
                path = folder / partial.relative_to(made)
                path.parent.mkdir(parents=True, exist_ok=True)
                _put(partial, path)


def _put(partial: Path, path: Path) -> None:
    """Rename a finished file, once it would survive a power cut."""
    _sync(partial)  # else the new name may be on an empty file
    os.replace(partial, path)


def _sync(path: Path) -> None:
    mode = "r+b" if sys.platform == "win32" else "rb"  # Windows syncs what is open for writing
    with open(path, mode) as file:
        os.fsync(file.fileno())


def finite(value: Any) -> Any:
    """JSON values with null for each number that JSON has no name for."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as sorted, indented JSON, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path, cure: str) -> Any:
    """What `write_json` wrote to `path`; raises BadInput, which names both, for a damaged file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{path}: empty, or not whole; {cure}") from None


def working_path(path: str | Path, key: str) -> Path:
    """Where `resumable_dir` keeps the unfinished work of `key` on `path`."""
    return Path(path).with_name(f".{Path(path).name}{_PARTIAL}{key}")


@contextmanager
def resumable_dir(
    path: str | Path, key: str, *, keep: bool = False, scratch: str = ""
) -> Iterator[Path]:
    """Yield a working folder beside `path` that replaces it when the block succeeds.

    An interrupted block leaves the working folder, and the next call with the same `key` (see
    `fingerprint`) goes on from there, without what is half-written; the block itself checks what
    else it finds. Folders left under other keys are reported but stay: they may hold days of work.
    Files that match `scratch` are needed only to resume and are left out of `path`. With `keep`,
    the working folder stays, its files hard-linked to `path`: DVC deletes the outputs of a stage
    that failed, or that it could not record, and the same call then finds the work finished.
    `xmdpt.stages.kept` deletes it.

    Raises BadInput where another process is at work on `path` or where that is a link, and
    DiskError where it cannot be written.
    """
    path = Path(path)
    if path.is_symlink():  # said at once, not when the work is finished and cannot be put there
        raise BadInput(
            f"{path}: is a link, which cannot be replaced; name the folder that it leads to, or, "
            "for an output of a stage, move the whole clone there: DVC takes none behind a link"
        )
    partial = working_path(path, key)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with sole_owner(path):
            _look_around(path, partial)
            partial.mkdir(exist_ok=True)
            _delete_half_written(partial)
            yield partial
            _finish(path, partial, keep, scratch)


def finished_work(parent: Path) -> Iterator[tuple[Path, Path, list[str]]]:
    """Each working folder in `parent` that was kept when its output was finished.

    Yields it, the output, and the names of the output's files.
    """
    for note in sorted(parent.glob(f".*{_PARTIAL}*/{_FINISHED}")):
        name = note.parent.name[1:].rpartition(_PARTIAL)[0]
        yield note.parent, parent / name, note.read_text(encoding="utf-8").splitlines()


def _look_around(path: Path, partial: Path) -> None:
    """Say what other settings left, and delete copies that a process did not finish."""
    for copy in path.parent.glob(f".{path.name}{_PARTIAL}*{_WHOLE}"):
        shutil.rmtree(copy)
    for other in sorted(path.parent.glob(f".{path.name}{_PARTIAL}*")):
        if other != partial:
            state = "finished" if (other / _FINISHED).exists() else "unfinished"
            print(
                f"{other}: {state} work with other settings; delete it if not needed",
                file=sys.stderr,  # which executed notebooks do not keep
            )


def _delete_half_written(folder: Path) -> None:
    """Delete what a process that died had not finished: its hidden files, ours and libraries'."""
    for hidden in [*folder.rglob(".*")]:
        if hidden.is_dir():
            shutil.rmtree(hidden)
        else:
            hidden.unlink(missing_ok=True)


def _finish(path: Path, partial: Path, keep: bool, scratch: str) -> None:
    """Let the files of the working folder become `path`; what resumes stays until they have."""
    whole = partial.with_name(f"{partial.name}{_WHOLE}")
    ignored = shutil.ignore_patterns(".*", *([scratch] if scratch else []))
    shutil.copytree(partial, whole, ignore=ignored, copy_function=_link)
    made = [file for file in sorted(whole.rglob("*")) if file.is_file()]
    for file in made:
        _sync(file)
    if path.exists():
        shutil.rmtree(path)
    os.replace(whole, path)
    if keep:
        names = "".join(f"{file.relative_to(whole).as_posix()}\n" for file in made)
        (partial / _FINISHED).write_text(names, encoding="utf-8")
    else:
        shutil.rmtree(partial)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, target)

"""Atomic files, resumable folders and fingerprints: what is written is whole or absent."""

import codecs
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fingerprint(*parts: object) -> str:
    """Twelve hex digits that identify the JSON form of `parts`."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling to write to; it becomes `path` only if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}{_PARTIAL}{os.getpid()}{path.suffix}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name on an empty file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as sorted, indented JSON, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def working_path(path: str | Path, key: str) -> Path:
    """Where `resumable_dir` keeps the unfinished work of `key` on `path`."""
    return Path(path).with_name(f".{Path(path).name}{_PARTIAL}{key}")


_kept: dict[Path, Path] = {}


@contextmanager
def resumable_dir(
    path: str | Path, key: str, *, keep: bool = False, scratch: str = ""
) -> Iterator[Path]:
    """Yield a working folder beside `path` that replaces it when the block succeeds.

    An interrupted block leaves the working folder, and the next call with the same `key` (see
    `fingerprint`) goes on from there; half-written files of a killed process are deleted, so only
    one process may work on it at a time. Folders left under other keys are reported but stay: they
    may hold days of work. Files that match `scratch` are needed only to resume and are left out of
    `path`. With `keep`, the working folder stays until `forget`, its files hard-linked to `path`:
    if the stage fails after the block, DVC deletes its outputs, and the work would be lost.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = working_path(path, key)
    for other in sorted(path.parent.glob(f".{path.name}{_PARTIAL}*")):
        if other != partial:
            print(f"{other}: unfinished work with other settings; delete it if not needed")
    partial.mkdir(exist_ok=True)
    for half in partial.rglob(f".*{_PARTIAL}*"):  # of a process that was killed
        if half.is_file():
            half.unlink()
    yield partial
    whole = partial
    if keep:
        whole = path.with_name(f"{partial.name}-whole")
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(partial, whole, ignore=shutil.ignore_patterns(scratch), copy_function=_link)
        _kept[path.absolute()] = partial
    else:
        for file in partial.glob(scratch) if scratch else ():
            file.unlink()
    if path.exists():
        shutil.rmtree(path)
    os.replace(whole, path)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, target)


def forget(path: str | Path) -> None:
    """Delete the folder that `resumable_dir` kept for `path`, if any; call it last in a stage."""
    if partial := _kept.pop(Path(path).absolute(), None):
        shutil.rmtree(partial)

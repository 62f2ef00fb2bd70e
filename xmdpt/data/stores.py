"""Where pictures are stored: folders of files, or the LMDBs that NTED's and PIDM's tools make.

A store gives pictures by name (see `xmdpt.data.pairs.canonical`).
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock

import lmdb
import numpy as np
from PIL import Image

from xmdpt.data.images import DataError, decode_picture, picture_size, read_bytes
from xmdpt.data.pairs import NESTED, SUFFIXES, mangle

__all__ = ["DataError", "FolderStore", "LmdbStore", "Store", "open_store", "read_picture"]

LMDB_NAME = re.compile(r"(\d+)-(\d+)")
"""An LMDB's folder is named after the height and width of its pictures: 256-256."""


def squash(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) of `size` (H, W), at any aspect ratio: PIL's bicubic, as in the field."""
    if image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    return np.array(image)  # a copy: torch warns of read-only arrays


def read_picture(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (H, W, 3) of a file; with `size` (H, W), resized to it by PIL's bicubic."""
    image = decode_picture(read_bytes(path), path)
    return squash(image, size or image.size[::-1])


def find_files(root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[str]:
    """Pictures below `root` as relative paths; hidden folders and `pose` folders are skipped."""
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "pose")
        base = Path(folder).relative_to(root)
        for name in sorted(files):
            if name.lower().endswith(suffixes) and name[0] != ".":
                yield (base / name).as_posix()


class FolderStore:
    """Picture files below `root`.

    `places` gives the path of each. Without it, a picture is searched for: in a folder
    `img_highres` if there is one (`img/` beside it is often the low-resolution version), then under
    its own name, then under any nested or mangled path that means the same picture. A name outside
    DeepFashion's scheme may have another suffix, but must be in the folder that it names, if any.
    """

    def __init__(self, root: Path, places: Mapping[str, str] | None = None):
        self.root = root
        self.places = places
        self._highres = [] if places is not None else _highres_folders(root)

    def __str__(self) -> str:
        shown = self._highres[0] if self._highres else self.root
        return f"picture files in {shown}"

    @cached_property
    def _found(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in find_files(self.root):
            found[_composed(mangle(path))].append(path)
        return found

    def __len__(self) -> int:
        return len(self._found if self.places is None else self.places)

    def names(self) -> list[str]:
        """What is there: paths below `root`."""
        if self.places is not None:
            return list(self.places.values())
        return [path for paths in self._found.values() for path in paths]

    def doubles(self) -> list[tuple[str, str]]:
        """Two files of each name that several files have."""
        if self.places is not None or self._highres:
            return []
        return [(paths[0], paths[1]) for paths in self._found.values() if len(paths) > 1]

    def place(self, name: str) -> str | None:
        """Path of a picture below `root`; None if there is no such picture."""
        if self.places is not None:
            return self.places.get(name)
        below = name.removeprefix("img/")
        for folder in self._highres:
            for path in (folder / below, folder / "img" / below):
                if path.is_file():
                    return path.relative_to(self.root).as_posix()
        if (self.root / name).is_file():
            return name
        found = self._found.get(_composed(mangle(name)), [])
        if "/" in name and not NESTED.search(name):
            own = _composed(str(PurePosixPath(name).parent))
            found = [path for path in found if _composed(str(PurePosixPath(path).parent)) == own]
        found = [path for path in found if "img_highres" in PurePosixPath(path).parts] or found
        if len(found) > 1:
            raise DataError(f"{self.root}: {name} could be {found[0]} or {found[1]}; move one away")
        return found[0] if found else None

    def path(self, name: str) -> Path:
        """The file of a picture."""
        place = self.place(name)
        if place is None:
            raise DataError(f"{self.root / name}: no such picture")
        return self.root / place

    def content(self, name: str) -> bytes:
        """The bytes of a picture's file."""
        return read_bytes(self.path(name))

    def decode(self, name: str, content: bytes) -> Image.Image:
        """The stored picture as RGB, from the `content` of its file."""
        return decode_picture(content, self.path(name))

    def image(self, name: str) -> Image.Image:
        """The stored picture as RGB."""
        return self.decode(name, self.content(name))

    def size_of(self, name: str) -> tuple[int, int]:
        """(H, W) of a stored picture."""
        return picture_size(self.path(name))


def _composed(name: str) -> str:
    """Accented letters as one character each; some file systems decompose them."""
    return unicodedata.normalize("NFC", name)


def _highres_folders(root: Path) -> list[Path]:
    return [path for pattern in ("img_highres", "*/img_highres") for path in root.glob(pattern)]


_environments: dict[Path, tuple[tuple[int, ...], lmdb.Environment]] = {}
_opening = Lock()


def _environment(folder: Path) -> lmdb.Environment:
    """The open LMDB, kept because LMDB refuses to open one twice in a process.

    It is only read and opened without lock: no file is written beside it, and forked workers share
    it. Threads that ask for it at once wait for the one that opens it.
    """
    with _opening:
        return _opened(folder)


def _opened(folder: Path) -> lmdb.Environment:
    folder = folder.resolve()
    try:
        status = (folder / "data.mdb").stat()
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = _environments.get(folder)
        if known is not None and known[0] == stamp:
            return known[1]
        if known is not None:
            known[1].close()
        opened = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
        whole = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
        if status.st_size < whole:  # reading past its end would kill the process
            opened.close()
            raise lmdb.Error(f"{status.st_size:,} of {whole:,} bytes")
    except (lmdb.Error, OSError) as error:
        reason = str(error).removeprefix(f"{folder}: ")
        raise DataError(f"{folder}: not a readable LMDB ({reason}); copy it again") from None
    _environments[folder] = (stamp, opened)
    return opened


class LmdbStore:
    """An LMDB folder named after its pictures' height and width, such as 256-256.

    Keys are picture paths ending in .png, values are PNG files of that size. The key `length` holds
    the number of pictures.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        height, width = folder.name.split("-")
        self.size = (int(height), int(width))
        length = self._get("length")
        if length is None:
            raise DataError(
                f"{folder}: holds no key 'length', so it was not completely written; "
                "make or copy it again"
            )
        try:
            self.length = int(length)
        except ValueError:
            raise DataError(f"{folder}: key 'length' is {length!r}, not a number") from None

    def __str__(self) -> str:
        return f"LMDB {self.folder}"

    def __len__(self) -> int:
        return _environment(self.folder).stat()["entries"] - 1

    def _get(self, key: str) -> bytes | None:
        with _environment(self.folder).begin() as transaction:
            value = transaction.get(key.encode())
        return None if value is None else bytes(value)

    def names(self) -> list[str]:
        """What is there: keys."""
        with _environment(self.folder).begin() as transaction, transaction.cursor() as cursor:
            keys = [bytes(key).decode(errors="replace") for key in cursor.iternext(values=False)]
        return [key for key in keys if key != "length"]

    def doubles(self) -> list[tuple[str, str]]:
        """None: a key is there once."""
        return []

    def place(self, name: str) -> str | None:
        """Key of a picture; None if there is no such picture."""
        stem = str(PurePosixPath(name).with_suffix(""))
        for key in (f"{stem}.png", f"{stem}.jpg", name):
            with _environment(self.folder).begin() as transaction, transaction.cursor() as cursor:
                if cursor.set_key(key.encode()):
                    return key
        return None

    def content(self, name: str) -> bytes:
        """The bytes of a picture's PNG file."""
        key = self.place(name)
        if key is None:
            raise DataError(f"{self.folder}: holds no picture {name}")
        return self._get(key) or b""

    def decode(self, name: str, content: bytes) -> Image.Image:
        """The stored picture as RGB, from the `content` of its file; DataError for another size."""
        image = decode_picture(content, f"{self.folder}: {name}")
        if image.size[::-1] != self.size:
            height, width = image.size[::-1]
            raise DataError(
                f"{self.folder}: {name} is {height}x{width} (height x width), not "
                f"{self.size[0]}x{self.size[1]} as the folder's name says; make the LMDB again"
            )
        return image

    def image(self, name: str) -> Image.Image:
        """The stored picture as RGB."""
        return self.decode(name, self.content(name))

    def size_of(self, name: str) -> tuple[int, int]:
        """(H, W) of a stored picture."""
        return self.size


Store = FolderStore | LmdbStore


def lmdb_folders(root: Path) -> list[Path]:
    """The LMDBs below `root`, smallest pictures first."""
    found = [
        path.parent for pattern in ("*-*", "*/*-*") for path in root.glob(f"{pattern}/data.mdb")
    ]
    named = [folder for folder in found if LMDB_NAME.fullmatch(folder.name)]
    return sorted(named, key=lambda folder: [int(side) for side in folder.name.split("-")])


def open_store(root: Path, size: int) -> Store:
    """The best source of square pictures of `size` pixels below `root`.

    That is an LMDB of exactly this size, which equals resizing the originals; else the files, which
    the reader resizes; else the smallest LMDB that is at least as high. Raises DataError if there
    is none.
    """
    folders = lmdb_folders(root)
    exact = [folder for folder in folders if folder.name == f"{size}-{size}"]
    if exact:
        return LmdbStore(exact[0])
    if next(find_files(root), None) is not None:
        return FolderStore(root)
    high = [folder for folder in folders if int(folder.name.split("-")[0]) >= size]
    if high:
        return LmdbStore(high[0])
    if folders:
        raise DataError(
            f"{root}: holds pictures of {folders[-1].name} only, too small for data.size {size}; "
            f"put {size}-{size}/ or img_highres/ there"
        )
    raise DataError(f"{root}: holds no pictures: no picture files, no LMDB such as {size}-{size}/")

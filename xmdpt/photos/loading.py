"""Photos of any origin (camera, scanner, browser), by the rules of `xmdpt.data.images`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from xmdpt.data.images import (
    MAX_PIXELS,
    UNREADABLE,
    DataError,
    as_rgb,
    check_dimensions,
    decode_picture,
    read_bytes,
)

__all__ = ["MAX_PIXELS", "PhotoError", "check_size", "load_photo", "to_rgb"]


class PhotoError(DataError):
    """A picture or key point file that cannot be used; one line that names it and the remedy."""


@contextmanager
def _as_photo_error() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise PhotoError(str(error)) from None


def load_photo(path: str | Path) -> Image.Image:
    """Read a picture as 8-bit sRGB, upright, as `decode_picture` does.

    Raises PhotoError for a file that cannot be read, has a side below 32 pixels, or has more than
    80 megapixels.
    """
    with _as_photo_error():
        return decode_picture(read_bytes(path), path)


def check_size(size: tuple[int, int], path: str | Path) -> None:
    """Raise PhotoError for a picture of `size` (W, H) that is too small or too large."""
    with _as_photo_error():
        check_dimensions(size, path)


def to_rgb(image: Image.Image, name: str | Path) -> Image.Image:
    """Convert an opened picture as `load_photo` does; `name` is for error messages."""
    try:
        with _as_photo_error():
            return as_rgb(image, name)
    except PhotoError:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise PhotoError(f"{name}: not a readable picture ({reason}); save it again") from None

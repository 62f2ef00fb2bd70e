"""Reading pictures of any origin (camera, scanner, browser) as 8-bit RGB."""

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from xmdpt.data.stores import UNREADABLE, DataError, as_rgb

MIN_SIDE = 32
MAX_PIXELS = 80_000_000

# Formats that Pillow decodes itself: for others, such as EPS, it would run external programs on a
# file that cannot be trusted.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")


class PhotoError(DataError):
    """A picture or key point file that cannot be used; one line that names it and the remedy."""


def load_photo(path: str | Path) -> Image.Image:
    """Read a picture as 8-bit RGB, upright.

    EXIF rotation is applied; 16 bits are reduced to 8; CMYK, grey and palettes become RGB; what is
    transparent becomes white; of an animation, the first frame is taken. Raises PhotoError for a
    file that cannot be read, has a side below 32 pixels, or has more than 80 megapixels.
    """
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_size` does it
            image = Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
        with image:
            check_size(image.size, path)
            return to_rgb(image, path)
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such picture") from None
    except IsADirectoryError:
        raise PhotoError(f"{path}: is a folder, not a picture") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"{path}: has far more than 80 megapixels; make it smaller") from None
    except PhotoError:
        raise
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def check_size(size: tuple[int, int], path: str | Path) -> None:
    """Raise PhotoError for a picture of `size` (W, H) that is too small or too large."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise PhotoError(f"{path}: is {width}x{height} pixels; a side needs {MIN_SIDE} or more")
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{path}: is {width}x{height} pixels, more than 80 megapixels; make it smaller"
        )


def to_rgb(image: Image.Image, name: str | Path) -> Image.Image:
    """Convert an opened picture as `load_photo` does; `name` is for error messages."""
    try:
        return as_rgb(ImageOps.exif_transpose(image), name)
    except DataError as error:
        raise PhotoError(str(error)) from None
    except UNREADABLE as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str | Path, error: Exception) -> PhotoError:
    reason = " ".join(str(error).split())
    return PhotoError(f"{name}: not a readable picture ({reason}); save it again as JPEG or PNG")

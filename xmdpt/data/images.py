"""A user's picture file as upright 8-bit sRGB: one rule for data sets, results and photos."""

import io
import struct
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

MIN_SIDE = 32
MAX_PIXELS = 80_000_000

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
"""Those that Pillow decodes itself: for others, such as EPS, it would run external programs on a
file that cannot be trusted."""

UNREADABLE = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on broken files, depending on the format and on where it breaks."""

HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
HEIC_CURE = (
    "HEIC is not read; export it as JPEG (an iPhone takes JPEG under Settings, Camera, Formats, "
    "Most Compatible)"
)

COLOUR_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "CMYK": "CMYK", "L": "GRAY"}
SAME_COLOUR = 2
"""A profile that moves no colour by more grey levels than this is sRGB, whatever it is called."""

# `check_dimensions` refuses what Pillow would only warn about.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class DataError(ValueError):
    """A file or a data set that cannot be used; the message names it and the remedy."""


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a picture's file; DataError if there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such picture") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not a picture") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def decode_picture(content: bytes, where: object) -> Image.Image:
    """The picture in the bytes of a file as 8-bit sRGB, upright; see `as_rgb`.

    Of an animation, the first frame. Raises DataError, which names `where` the bytes come from, for
    what cannot be decoded, has a side below 32 pixels, or has more than 80 megapixels.
    """
    Image.init()
    try:
        formats = [name for name in FORMATS if name in Image.OPEN]
        with Image.open(io.BytesIO(content), formats=formats) as image:
            check_dimensions(image.size, where)
            return as_rgb(image, where)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{where}: has far more than 80 megapixels; make it smaller") from None
    except UNREADABLE as error:
        raise _unreadable(content, where, error) from None


def _unreadable(content: bytes, where: object, error: Exception) -> DataError:
    if content[4:8] == b"ftyp" and content[8:12] in HEIC:
        return DataError(f"{where}: {HEIC_CURE}")
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "unknown format" if unknown else " ".join(str(error).split())[:120]
    reason = reason if content else "an empty file"
    return DataError(
        f"{where}: not a readable picture ({reason}); copy it again, or save it as JPEG or PNG"
    )


def check_dimensions(size: tuple[int, int], where: object) -> None:
    """Raise DataError for a picture of `size` (W, H) that is too small or too large."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise DataError(f"{where}: is {width}x{height} pixels; a side needs {MIN_SIDE} or more")
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{where}: is {width}x{height} pixels, more than 80 megapixels; make it smaller"
        )


def is_turned(image: Image.Image) -> bool:
    """Whether an opened picture's EXIF asks for rotation or mirroring."""
    return bool(image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9))


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture file, upright, without decoding it."""
    try:
        with Image.open(path) as image:
            lying = image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
            return image.size if lying else image.size[::-1]
    except FileNotFoundError:
        raise DataError(f"{path}: no such picture") from None
    except UNREADABLE as error:
        raise _unreadable(read_bytes(path), path, error) from None


def as_rgb(image: Image.Image, where: object) -> Image.Image:
    """An opened picture as 8-bit sRGB.

    It is turned as its EXIF says, and its colour profile is converted to sRGB; transparency turns
    white, 16 bits become 8, CMYK, grey and palettes become RGB. Raises DataError, which names
    `where` it comes from, for more bits and for floating point.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey, also where Pillow holds them in 32
        grey = np.asarray(image, dtype=np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise DataError(f"{where}: has more than 16 bits per channel; save it with 8")
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{where}: holds floating point values; save it with 8 bits per channel")
    profile = image.info.get("icc_profile")
    clear = image.has_transparency_data
    if clear or image.mode not in COLOUR_SPACES:
        image = image.convert("RGBA" if clear else "RGB")
    if profile and (transform := _to_srgb(profile, image.mode)) is not None:
        image = transform.apply(image)
    if clear:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from a colour profile to sRGB; None if it is sRGB, damaged, or of another mode."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own.profile.xcolor_space != COLOUR_SPACES[mode]:
            return None
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        out = "RGBA" if mode == "RGBA" else "RGB"
        if mode in ("RGB", "RGBA"):
            steps = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), axis=-1).astype(np.uint8)
            colours = steps.reshape(6, -1, 3)
            test = ImageCms.buildTransform(own, srgb, "RGB", "RGB", intent)
            moved = np.asarray(test.apply(Image.fromarray(colours))).astype(int)
            if np.abs(moved - colours).max() <= SAME_COLOUR:
                return None
        return ImageCms.buildTransform(own, srgb, mode, out, intent)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None  # browsers ignore a damaged profile, too

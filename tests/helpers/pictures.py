"""Picture files as cameras, phones, scanners and other programs write them."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 48, 64


def upright() -> np.ndarray:
    """uint8 (64, 48, 3): a red field above a blue one, with a green field at the left."""
    picture = np.full((HEIGHT, WIDTH, 3), (30, 40, 200), np.uint8)
    picture[: HEIGHT // 2] = (200, 40, 30)
    picture[:, : WIDTH // 3] = (20, 160, 60)
    return picture


def swapped_profile() -> bytes:
    """sRGB with its red and its blue primary exchanged: (255, 0, 0) is sRGB's (0, 0, 255)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (tags,) = struct.unpack_from(">I", profile, 128)
    for entry in range(132, 132 + 12 * tags, 12):
        kind = bytes(profile[entry : entry + 4])
        profile[entry : entry + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(kind, kind)
    return bytes(profile)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    return encoded(Image.fromarray(np.rot90(upright()).copy()), "PNG", exif=exif)


def alike() -> dict[str, bytes]:
    """Files that all show `upright()`, to a few grey levels."""
    picture = Image.fromarray(upright())
    clear = picture.convert("RGBA")
    exchanged = Image.fromarray(upright()[..., ::-1].copy())
    files = {
        "plain.png": encoded(picture, "PNG"),
        "lossy.jpg": encoded(picture, "JPEG", quality=95, subsampling=0),
        "turned.png": _turned(),
        "profile.png": encoded(exchanged, "PNG", icc_profile=swapped_profile()),
        "profile.jpg": encoded(
            exchanged, "JPEG", quality=95, subsampling=0, icc_profile=swapped_profile()
        ),
        "clear.png": encoded(clear, "PNG"),
        "clear_profile.png": encoded(
            exchanged.convert("RGBA"), "PNG", icc_profile=swapped_profile()
        ),
        "srgb.png": encoded(picture, "PNG", icc_profile=srgb_profile()),
        "damaged_profile.png": encoded(picture, "PNG", icc_profile=b"no profile at all"),
        "other_profile.tif": encoded(picture.convert("CMYK"), "TIFF", icc_profile=srgb_profile()),
        "print.jpg": encoded(picture.convert("CMYK"), "JPEG", quality=95),
        "web.webp": encoded(picture, "WEBP", lossless=True),
        "window.bmp": encoded(picture, "BMP"),
        "scan.tif": encoded(picture, "TIFF"),
        "CAMERA.JPG": encoded(picture, "JPEG", quality=95, subsampling=0),
    }
    return files


def refused() -> dict[str, tuple[bytes, str]]:
    """Files that no entry takes, and what each must say."""
    picture = Image.fromarray(upright())
    whole = encoded(picture, "JPEG", quality=95)
    return {
        "dot.png": (encoded(Image.new("RGB", (1, 1)), "PNG"), "is 1x1 pixels; a side needs 32"),
        "small.png": (encoded(Image.new("RGB", (31, 90)), "PNG"), "is 31x90 pixels"),
        "large.ppm": (b"P6 9000 9000 255\n", "more than 80 megapixels"),
        "bomb.ppm": (b"P6 90000 90000 255\n", "80 megapixels"),
        "half.jpg": (whole[: len(whole) // 2], r"not a readable picture \(.*[Tt]runcated"),
        "empty.jpg": (b"", r"not a readable picture \(an empty file\)"),
        "text.jpg": (b"not a picture", r"not a readable picture \(unknown format\)"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC is not read; export it as JPEG"),
        "float.tif": (
            encoded(Image.fromarray(np.zeros((40, 40), np.float32)), "TIFF"),
            "holds floating point values",
        ),
        "post.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "unknown format"),
    }


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name

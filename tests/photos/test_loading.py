"""Pictures of any format and mode are read as 8-bit RGB; what cannot be read is one line."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xmdpt.photos.loading import PhotoError, load_photo


def test_exif_rotation_is_carried_out(tmp_path):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = 255  # white upper left
    for orientation, turn in ((3, 2), (6, 1), (8, 3)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(np.rot90(upright, turn).copy())
        stored.save(tmp_path / "turned.png", exif=exif)
        assert np.array_equal(np.array(load_photo(tmp_path / "turned.png")), upright)


def test_sixteen_bits_become_eight(tmp_path):
    grey = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.int32)).save(tmp_path / "grey.tif")
    for name in ("grey.png", "grey.tif"):
        loaded = np.array(load_photo(tmp_path / name))
        assert loaded.shape == (64, 64, 3)
        assert np.abs(loaded[..., 0] - grey / 257).max() <= 0.5
    ends = np.full((32, 32), 65535, np.uint16)
    Image.fromarray(ends).save(tmp_path / "white.png")
    assert np.array(load_photo(tmp_path / "white.png")).min() == 255


def test_sixteen_bits_of_colour(tmp_path):
    """Pillow cannot write such PNG, so it is put together here."""
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 0, 257 * 100) * 40 for _ in range(40))

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    (tmp_path / "deep.png").write_bytes(png + chunk(b"IEND", b""))
    assert load_photo(tmp_path / "deep.png").getpixel((7, 7)) == (255, 0, 100)


def test_transparency_turns_white(tmp_path):
    picture = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    picture.paste((0, 0, 200, 255), (0, 0, 20, 40))
    picture.paste((0, 0, 0, 128), (20, 0, 30, 40))
    picture.save(tmp_path / "a.png")
    picture.convert("LA").save(tmp_path / "la.png")
    Image.new("L", (40, 40), 0).save(tmp_path / "key.png", transparency=0)
    loaded = load_photo(tmp_path / "a.png")
    assert [loaded.getpixel((x, 5)) for x in (5, 25, 35)] == [
        (0, 0, 200), (127, 127, 127), (255, 255, 255),
    ]  # fmt: skip
    assert load_photo(tmp_path / "la.png").getpixel((35, 5)) == (255, 255, 255)
    assert load_photo(tmp_path / "key.png").getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode, suffix", [("CMYK", "jpg"), ("P", "gif"), ("1", "png"),
                                          ("L", "jpg"), ("CMYK", "tif")])  # fmt: skip
def test_other_modes_become_rgb(tmp_path, mode, suffix):
    white = Image.new("RGB", (48, 32), "white").convert(mode)
    white.save(tmp_path / f"p.{suffix}")
    loaded = load_photo(tmp_path / f"p.{suffix}")
    assert loaded.mode == "RGB" and loaded.size == (48, 32)
    assert np.array(loaded).min() >= 254


def test_twenty_megapixels_are_read(tmp_path):
    Image.new("RGB", (5200, 3900), (9, 9, 9)).save(tmp_path / "big.jpg")
    assert load_photo(tmp_path / "big.jpg").size == (5200, 3900)


def broken_files(folder: Path) -> dict[str, str]:
    """Files that are no photo -> what to say."""
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    Image.fromarray(noise).save(folder / "whole.png")
    for kind in ("jpg", "png"):
        data = (folder / f"whole.{kind}").read_bytes()
        (folder / f"half.{kind}").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.jpg").mkdir()
    Image.fromarray(noise).save(folder / "whole.avif")
    data = bytearray((folder / "whole.avif").read_bytes())
    data[data.index(b"mdat") + 5] ^= 255
    (folder / "bad.avif").write_bytes(data)
    (folder / "post.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n")
    Image.fromarray(np.zeros((40, 40), np.float32)).save(folder / "float.tif")
    header = b"P6 90000 90000 255\n"
    (folder / "bomb.ppm").write_bytes(header)
    (folder / "large.ppm").write_bytes(b"P6 9000 9000 255\n")
    return {
        "dot.png": "1x1 pixels", "half.jpg": "not a readable picture",
        "bad.avif": "not a readable picture", "float.tif": "floating point",
        "half.png": "not a readable picture", "text.jpg": "not a readable picture",
        "empty.png": "not a readable picture", "folder.jpg": "folder",
        "post.eps": "not a readable picture", "bomb.ppm": "80 megapixels",
        "large.ppm": "80 megapixels", "none.jpg": "no such picture",
    }  # fmt: skip


def test_what_cannot_be_read_is_one_line(tmp_path):
    for name, text in broken_files(tmp_path).items():
        with pytest.raises(PhotoError, match=text) as error:
            load_photo(tmp_path / name)
        assert name in str(error.value) and len(str(error.value).splitlines()) == 1

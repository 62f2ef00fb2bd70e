"""The mark on pictures and in their metadata, and where pictures can be written."""

import numpy as np
import pytest
from PIL import Image

from xmdpt.photos.loading import PhotoError
from xmdpt.photos.marking import MARK, check_writable, is_marked, save_picture


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_mark_is_seen_and_read(tmp_path, suffix):
    picture = Image.new("RGB", (128, 188), (200, 120, 40))
    save_picture(picture, tmp_path / f"marked.{suffix}")
    with Image.open(tmp_path / f"marked.{suffix}") as marked:
        assert marked.getexif()[0x010E] == MARK == marked.getexif()[0x0131]
        xmp = marked.info.get("xmp") or marked.info["XML:com.adobe.xmp"]
        xmp = xmp if isinstance(xmp, str) else xmp.decode()
        assert MARK in xmp and "digitalsourcetype/trainedAlgorithmicMedia" in xmp
        changed = (
            np.abs(np.asarray(marked.convert("RGB")).astype(int) - [200, 120, 40]).max(-1) > 40
        )
    rows, columns = changed.nonzero()
    assert rows.min() > 160 and columns.max() - columns.min() > 60
    save_picture(picture, tmp_path / f"plain.{suffix}", mark=False)
    data = (tmp_path / f"plain.{suffix}").read_bytes()
    assert is_marked((tmp_path / f"marked.{suffix}").read_bytes()) and not is_marked(data)
    assert b"xmdpt" not in data and b"trainedAlgorithmic" not in data
    with Image.open(tmp_path / f"plain.{suffix}") as plain:
        assert np.abs(np.asarray(plain.convert("RGB")).astype(int) - [200, 120, 40]).max() <= 3


def test_where_no_picture_can_be_written(tmp_path):
    mine = tmp_path / "me.png"
    mine.write_bytes(b"x")
    for path, text in ((tmp_path / "a.bmp", "written as"), (tmp_path / "dir.png", "folder"),
                       (tmp_path / "." / "me.png", "files you gave")):  # fmt: skip
        (tmp_path / "dir.png").mkdir(exist_ok=True)
        with pytest.raises(PhotoError, match=text):
            check_writable(path, [mine])

"""Pictures as text, so that a page is one file, and made smaller until it is small enough."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Fit:
    """How large the pictures of a page may be."""

    kept: int
    """Bytes of a file that is taken as it is; a larger one becomes a JPEG, where that is less."""
    widest: int
    """Pixels."""
    quality: int
    """That of a JPEG."""


PAGE = Fit(kept=250_000, widest=1600, quality=88)


def _text(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _jpeg(picture: Image.Image, fit: Fit) -> bytes:
    picture = picture.convert("RGB")
    picture.thumbnail((fit.widest, 100 * fit.widest))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=fit.quality)
    return content.getvalue()


def data_uri(path: Path, fit: Fit = PAGE) -> str | None:
    """The PNG or JPEG in `path` as a data URI; None where there is none."""
    if not path.is_file():
        return None
    content, kind = path.read_bytes(), "png" if path.suffix == ".png" else "jpeg"
    if len(content) > fit.kept:
        with Image.open(io.BytesIO(content)) as picture:
            shrunk = _jpeg(picture, fit)
        if len(shrunk) < len(content):
            content, kind = shrunk, "jpeg"
    return _text(content, kind)


def small_uri(picture: Image.Image, fit: Fit = PAGE) -> str:
    """A picture in memory as the data URI of a JPEG."""
    return _text(_jpeg(picture, fit), "jpeg")

"""Pictures side by side, with captions, and one after another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from xmdpt.support.files import atomic_path

LARGEST = 8000
"""Pixels of a sheet's longer side; pictures are made smaller to fit."""
FRAME = 250
"""Milliseconds that a picture of an animation is shown."""


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet, and what stands below it."""

    picture: Image.Image
    caption: str = ""


def grid(rows: Sequence[Sequence[Cell | None]], room: bool = True) -> Image.Image:
    """Rows of pictures of one size; None leaves a place white.

    Captions are cut to the width of a picture. A strip at the bottom leaves `room` for the mark.
    """
    width, height = next(cell for row in rows for cell in row if cell).picture.size
    columns = max(map(len, rows))
    scale = min(1, LARGEST / (columns * width), LARGEST / (len(rows) * height))
    width, height = max(int(width * scale), 1), max(int(height * scale), 1)
    strip = max(round(height / 14), 12)
    font = ImageFont.load_default(strip * 0.72)
    strips = [strip * any(cell and cell.caption for cell in row) for row in rows]
    below = sum(strips) + strip * room
    sheet = Image.new("RGB", (columns * width, len(rows) * height + below), "white")
    canvas = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = number * height + sum(strips[:number])
        for place, cell in enumerate(row):
            if cell is None:
                continue
            sheet.paste(cell.picture.resize((width, height)), (place * width, top))
            text = _cut(cell.caption, font, width - 6)
            canvas.text((place * width + 3, top + height + strip * 0.1), text, "black", font)
    return sheet


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text, or as much of it as fits, and an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def animate(pictures: Sequence[Image.Image], caption: str, path: Path) -> None:
    """Write pictures of one size one after another as a GIF, each above the caption."""
    frames = [grid([[Cell(picture, caption)]], room=False) for picture in pictures]
    with atomic_path(path) as partial:
        frames[0].save(
            partial, save_all=True, append_images=frames[1:], duration=FRAME, loop=0, optimize=True
        )

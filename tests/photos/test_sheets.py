"""Pictures side by side, and one after another."""

import numpy as np
from PIL import Image

from xmdpt.photos.sheets import LARGEST, Cell, animate, grid

RED, BLUE = (Image.new("RGB", (40, 60), name) for name in ("red", "blue"))


def test_cells_stand_in_their_rows_and_none_stays_white():
    sheet = np.asarray(grid([[None, Cell(RED, "a")], [Cell(BLUE), Cell(RED)]]))
    assert sheet.shape[1] == 80
    assert (sheet[:60, :40] == 255).all() and (sheet[:60, 40:] == (255, 0, 0)).all()
    second = sheet[60 + 12 :]  # below the strip of the first row's caption
    assert (second[:60, :40] == (0, 0, 255)).all()
    assert (second[60:] == 255).all() and len(second) == 60 + 12, "room for the mark"


def test_a_caption_is_cut_to_its_picture():
    long = np.asarray(grid([[Cell(RED, "a name that is much longer than forty pixels"), None]]))
    assert (long[60:72, :40] < 255).any() and (long[60:72, 40:] == 255).all()


def test_a_sheet_has_a_largest_size():
    sheet = grid([[Cell(RED)] * 300])
    assert sheet.width <= LARGEST < 300 * RED.width
    assert 1.3 < sheet.height / (sheet.width / 300) < 2.2


def test_an_animation_holds_all_pictures(tmp_path):
    path = tmp_path / "a.gif"
    animate([RED, BLUE, RED], "each drawn alone", path)
    with Image.open(path) as movie:
        assert movie.n_frames == 3
        colours = []
        for frame in range(3):
            movie.seek(frame)
            colours.append(np.asarray(movie.convert("RGB"))[:40].mean((0, 1)).argmax())
    assert colours == [0, 2, 0]

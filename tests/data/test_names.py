"""Names of pictures: one for every spelling, and what they mean on disk."""

import re
import unicodedata

import pytest
from helpers.people import SIZE
from PIL import Image

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.pairs import canonical, item, mangle, outfit


@pytest.mark.parametrize(
    "spelling",
    [
        "img/WOMEN/Blouses_Shirts/id_00007132/04_4_full.jpg",
        "WOMEN/Blouses_Shirts/id_00007132/04_4_full.png",
        "/data/img_highres/WOMEN/Blouses_Shirts/id_00007132/04_4_full.jpg",
        "img\\WOMEN\\Blouses_Shirts\\id_00007132\\04_4_full.jpg",
        "fashionWOMENBlouses_Shirtsid0000713204_4full.jpg",
        "fashionWOMENBlouses_Shirtsid0000713204_4full",
        "train/deepfashionWOMENBlouses_Shirtsid0000713204_4full.png",
    ],
)
def test_one_name_for_every_spelling(spelling):
    name = "img/WOMEN/Blouses_Shirts/id_00007132/04_4_full.jpg"
    assert canonical(spelling) == name
    assert canonical(mangle(spelling)) == name
    assert item(spelling) == "id_00007132"
    assert outfit(spelling) == "WOMEN/Blouses_Shirts/00007132/04"


def test_other_names_stay():
    assert canonical("photos/anna/1.png") == "photos/anna/1.png"
    assert item("photos/anna/1.png") == outfit("photos/anna/1.png") == "photos/anna"


def test_a_name_that_could_be_two_pictures(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / folder / "one.png")
    with pytest.raises(DataError, match=re.escape("could be a/one.png or b/one.png")):
        DeepFashion(tmp_path, SIZE).picture("one.png")


def test_a_name_with_a_folder_means_that_folder(tmp_path):
    for place, color in (("masks/b.png", 0), ("photos/b.png", 200), ("masks/c.png", 0)):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), (color, 0, 0)).save(tmp_path / place)
    data = DeepFashion(tmp_path, SIZE)
    assert data.picture("photos/b.jpg")[0, 0, 0] == 200, "another suffix is the same picture"
    with pytest.raises(DataError, match=r"photos/c.jpg: no such picture"):
        data.picture("photos/c.jpg")


def test_letters_that_a_file_system_takes_apart(tmp_path):
    apart = unicodedata.normalize("NFD", "jos\u00e9.png")
    Image.new("RGB", (40, 40)).save(tmp_path / apart)
    assert DeepFashion(tmp_path, SIZE).picture("jos\u00e9.png").shape == (SIZE, SIZE, 3)

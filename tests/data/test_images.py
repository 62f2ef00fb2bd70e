"""A picture file is opened by one rule on every entry: the same pixels, or the same message."""

import numpy as np
import pytest
from helpers.pictures import HEIGHT, WIDTH, alike, refused, upright, write
from PIL import Image

from xmdpt.data.images import decode_picture, picture_size
from xmdpt.data.pairs import mangle, possible_pairs
from xmdpt.data.stores import DataError, FolderStore, find_files, read_picture
from xmdpt.photos.loading import load_photo, to_rgb


def as_result(path):
    return read_picture(path)


def of_data_set(path):
    return np.array(FolderStore(path.parent).image(path.name))


def as_photo(path):
    return np.array(load_photo(path))


def in_memory(path):
    with Image.open(path) as image:  # as the pipeline takes it
        return np.array(to_rgb(image, path))


ENTRIES = [as_result, of_data_set, as_photo]


@pytest.mark.parametrize("entry", [*ENTRIES, in_memory])
@pytest.mark.parametrize("name", alike())
def test_the_same_picture_is_read_from_every_file(name, entry, tmp_path):
    found = entry(write(tmp_path, name, alike()[name]))
    assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
    lossy = name.lower().endswith("jpg")
    off = np.abs(found.astype(int) - upright())
    assert off.mean() <= (3 if lossy else 1)


@pytest.mark.parametrize("name", ["plain.png", "srgb.png", "damaged_profile.png"])
def test_a_picture_in_srgb_keeps_its_bytes(name):
    assert np.array_equal(np.array(decode_picture(alike()[name], name)), upright())


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", refused())
def test_what_no_entry_takes_is_one_line(name, entry, tmp_path):
    content, message = refused()[name]
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        entry(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", alike())
def test_every_such_file_counts_as_a_picture(name, tmp_path):
    write(tmp_path, name, alike()[name])
    assert list(find_files(tmp_path)) == [name]
    assert mangle(name) == name.rpartition(".")[0]
    assert possible_pairs(f"a_2_{name}") == [("a", mangle(name))]
    assert picture_size(tmp_path / name) == (HEIGHT, WIDTH)

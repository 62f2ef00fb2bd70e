"""A data set laid out as files, and that its originals are never written to."""

import pytest
from helpers.datasets import NAME, ONE_SPLIT, SPLITS, WHOLE, copy_of, everyone, write_lmdb
from helpers.people import SIZE, draw_person
from PIL import Image

from xmdpt.data.deepfashion import DataError, DeepFashion


def content(root):
    return {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}


def test_laying_out_again_leaves_every_original_alone(drawn, tmp_path):
    """Once more, another data set of the same names, and an LMDB: all into one folder."""
    first = copy_of(drawn, tmp_path / "first", *WHOLE)
    second = copy_of(first, tmp_path / "second", *WHOLE)
    for path in (second / "img").rglob("*.jpg"):
        Image.open(path).rotate(180).save(path)
    (second / "test.lst").write_text((first / "test.lst").read_text() + f"{NAME}\n")
    before = content(first) | content(second)
    for root in (first, first, second, second):
        data = DeepFashion(root, SIZE)
        laid = data.lay_out(tmp_path / "laid out")
        assert all(
            (laid / name).read_bytes() == (root / name).read_bytes() for name in everyone(data)
        )
    assert (laid / "test.lst").read_text().endswith(f"{NAME}\n")
    assert content(first) | content(second) == before


def test_laying_out_a_lmdb_replaces_a_link(drawn, truth, tmp_path):
    write_lmdb(tmp_path / "set" / f"{SIZE}-{SIZE}", drawn, everyone(truth))
    copy_of(drawn, tmp_path / "set", *WHOLE[1:])
    place, other = tmp_path / "laid out" / NAME.replace("jpg", "png"), tmp_path / "other.png"
    place.parent.mkdir(parents=True)
    other.write_bytes(b"another's")
    place.symlink_to(other)
    data = DeepFashion(tmp_path / "set", SIZE)
    data.lay_out(tmp_path / "laid out")
    assert other.read_bytes() == b"another's" and place.read_bytes() == data.store.content(NAME)


@pytest.mark.parametrize("folder", [".", "laid out", "img/.."])
def test_nothing_is_laid_out_in_the_data_set(drawn, tmp_path, folder):
    root = copy_of(drawn, tmp_path / "set", *ONE_SPLIT)
    before = content(root)
    with pytest.raises(DataError, match="lies in the data set"):
        DeepFashion(root, SIZE).lay_out(root / folder)
    assert content(root) == before


def test_names_that_lead_out_of_a_folder_are_not_laid_out(tmp_path):
    for name in ("a", "b"):
        draw_person(tmp_path / f"pics/{name}.png", tmp_path / f"set/pose/{name}.txt", (9, 9, 9), 0)
    for split in SPLITS:
        table = "from,to\n../pics/a.png,../pics/b.png\n"
        (tmp_path / f"set/pairs-{split}.csv").write_text(table)
    Image.new("RGB", (8, 8)).save(tmp_path / "set/c.png")
    before = content(tmp_path / "pics")
    with pytest.raises(DataError, match="leads out of it"):
        DeepFashion(tmp_path / "set", SIZE).lay_out(tmp_path / "laid")
    assert content(tmp_path / "pics") == before

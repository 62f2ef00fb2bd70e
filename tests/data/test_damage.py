"""Bad input gives one clear error."""

import pytest
from helpers.datasets import BAD, NAME, ONE_SPLIT, copy_of, everyone, write_lmdb
from helpers.people import SIZE

from xmdpt.data.deepfashion import DataError, DeepFashion


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name, drawn, tmp_path):
    spoil, ask, message = BAD[name]
    root = copy_of(drawn, tmp_path / "set", *ONE_SPLIT)
    spoil(root)
    with pytest.raises(DataError, match=message) as caught:
        data = DeepFashion(root, SIZE)
        data.pairs("train") if ask == "pairs" else getattr(data, ask)(NAME)
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "must be 'from,to'"), (f"from,to\n{NAME}\n", "row 2 is .* name from and to")],
)
def test_a_bad_table_of_pairs(text, message, tmp_path):
    (tmp_path / "pairs-train.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        DeepFashion(tmp_path, SIZE).pairs("train")


@pytest.mark.parametrize("share", [0.99, 0.5])
def test_a_lmdb_cut_short_is_named(share, drawn, truth, tmp_path):
    folder = tmp_path / f"{SIZE}-{SIZE}"
    write_lmdb(folder, drawn, everyone(truth))
    whole = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(whole[: int(share * len(whole.rstrip(b"\0")))])
    with pytest.raises(DataError, match=r"not a readable LMDB .* bytes"):
        _ = DeepFashion(tmp_path, SIZE).store


def test_no_folder_names_the_stage(tmp_path):
    with pytest.raises(DataError, match="prepare"):
        DeepFashion(tmp_path / "nowhere", SIZE)

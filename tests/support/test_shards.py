"""Work in pieces: every piece is of one shard, and only what is there and whole counts as done."""

import itertools

import pytest

from xmdpt.support.arguments import BadInput
from xmdpt.support.files import resumable_dir
from xmdpt.support.shards import (
    NOTES,
    Shard,
    made_by,
    note_done,
    pieces_left,
    read_shard,
    shared_dir,
)

PIECES = ["a", "b", "c", "d", "e"]


def write(folder, number, text="x"):
    path = folder / f"{PIECES[number]}.txt"
    path.write_text(text)
    note_done(folder, number, [path])
    return path


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_every_piece_is_of_exactly_one_shard(count):
    shares = [Shard(index, count).of(PIECES) for index in range(count)]
    assert sorted(itertools.chain(*shares)) == PIECES
    sizes = [*map(len, shares)]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_is_named_or_torchruns():
    torchrun = {"RANK": "3", "WORLD_SIZE": "8"}
    assert read_shard("1/4", torchrun) == Shard(1, 4)
    assert read_shard(None, torchrun) == Shard(3, 8)
    with pytest.raises(BadInput, match=r"needs i/n.*has not set RANK and WORLD_SIZE"):
        read_shard(None, {})


@pytest.mark.parametrize("text", ["8/8", "1", "-1/8", "a/b", "0/0", "1/2/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(BadInput, match=f"--shard {text}: needs i/n with i from 0 to n-1"):
        read_shard(text)


def test_what_is_done_is_left_out_of_every_share(tmp_path):
    write(tmp_path, 1)
    assert pieces_left(tmp_path, PIECES) == {0: "a", 2: "c", 3: "d", 4: "e"}
    assert pieces_left(tmp_path, PIECES, Shard(1, 2)) == {3: "d"}
    assert made_by(tmp_path, 1)["b.txt"]["bytes"] == 1


@pytest.mark.parametrize("damage", ["changed", "of the same length", "gone"])
def test_what_is_damaged_is_made_again(tmp_path, capsys, damage):
    path = write(tmp_path, 2)
    write(tmp_path, 3)
    path.unlink() if damage == "gone" else path.write_text("y" if "same" in damage else "longer")
    assert pieces_left(tmp_path, PIECES) == {0: "a", 1: "b", 2: "c", 4: "e"}
    assert f"{path}: missing or damaged since it was written" in capsys.readouterr().err
    assert not path.exists(), "so that whoever asks for the file alone makes it too"


def test_a_damaged_note_is_none(tmp_path):
    path = write(tmp_path, 0)
    (tmp_path / "00000.json").write_text('{"a.txt": ')
    assert pieces_left(tmp_path, PIECES[:1]) == {0: "a"}
    assert path.exists() and not (tmp_path / "00000.json").exists()


def test_shards_leave_each_others_half_written_files_alone(tmp_path):
    """The stage, which runs when they have ended, does not."""
    place = tmp_path / "made"
    with shared_dir(place, "key", Shard(1, 2)) as work, shared_dir(place, "key", Shard(0, 2)):
        half = work / ".a.partial-1.txt"
        half.write_text("half")
        write(work, 0)
    assert half.exists()
    with resumable_dir(place, "key", scratch=NOTES) as work:
        assert pieces_left(work, PIECES[:1]) == {}
    assert [path.name for path in place.iterdir()] == ["a.txt"]

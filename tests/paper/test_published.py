"""The paper's numbers against a transcription of its tables, so that no typo can hide."""

from pathlib import Path

import pytest

from xmdpt.costs.full_size import SHAPES
from xmdpt.paper.published import TRAINING_DAYS, configurations, costs, scores

TRANSCRIPT = Path(__file__).parent / "published.tsv"
TABLE_1 = ("fid", "ssim", "lpips")
COLUMNS = {
    "1": TABLE_1,
    **dict.fromkeys(("2a", "2b", "2c", "2d", "2e"), (*TABLE_1, "psnr")),
    "2f": ("parameters", "seconds", "deviation", "speed_up", "fid"),
    "3": ("seconds", "deviation", "memory", "parameters", "guidance", "forwards"),
    "4": ("layers", "width", "heads", "parameters"),
    "5": ("training_days", "seconds", "parameters"),
}


def printed() -> dict[str, list[list[str]]]:
    """Rows of the transcription by table: what a row is, then its cells."""
    tables: dict[str, list[list[str]]] = {}
    for line in TRANSCRIPT.read_text().splitlines():
        if not line.startswith("#"):
            table, *cells = line.split("\t")
            tables.setdefault(table, []).append(cells)
    return tables


def stored(table: str) -> list:
    if table == "4":
        return list(configurations())
    return [row for row in (*scores(), *costs()) if row.table == table]


@pytest.mark.parametrize("table", COLUMNS)
def test_every_number_is_as_printed(table):
    rows = [
        [str(value) for name in COLUMNS[table] if (value := getattr(row, name)) is not None]
        for row in stored(table)
    ]
    assert rows == [cells for _, *cells in printed()[table]]


@pytest.mark.parametrize("table", sorted({"1", "2f", "3", "4", "5"}))
def test_numbers_stand_with_their_method(table):
    for row, (name, *_) in zip(stored(table), printed()[table], strict=True):
        assert name.split(" (")[0].lower() == row.method.split(" (")[0].lower()


def test_the_transcription_holds_every_table():
    assert printed().keys() == COLUMNS.keys() | {"A.6"}


def steps_of(name: str) -> int | None:
    """The steps in brackets after a name: 800k or 1M."""
    count = name.partition("(")[2].rstrip(")")
    return int(count[:-1]) * {"k": 1_000, "M": 1_000_000}[count[-1]] if count else None


def test_steps_are_those_in_the_row_names():
    for row, (name, *_) in zip(stored("1"), printed()["1"], strict=True):
        assert row.steps == steps_of(name)


def test_training_days_are_those_of_the_text():
    days = {(name.split(" (")[0], steps_of(name)): days for name, days in printed()["A.6"]}
    assert {key: str(value) for key, value in TRAINING_DAYS.items()} == days


def test_the_default_model_is_one_row_of_every_ablation():
    main = next(row for row in scores() if row.run == "base_b" and row.steps == 300_000)
    defaults = [row for row in scores() if row.run == "base_b" and row.table.startswith("2")]
    assert [row.table for row in defaults] == ["2a", "2b", "2c", "2d", "2e"]
    for row in defaults:
        assert (row.fid, row.ssim, row.lpips) == (main.fid, main.ssim, main.lpips)


def test_one_setting_has_one_set_of_numbers():
    numbers = {}
    for row in scores():
        if row.run and row.table != "1":
            found = numbers.setdefault(row.run, (row.fid, row.ssim, row.lpips, row.psnr))
            assert found == (row.fid, row.ssim, row.lpips, row.psnr), row


def test_what_is_timed_at_full_size_is_what_table_4_prints():
    printed = {one.method: (one.width, one.layers, one.heads) for one in configurations()}
    assert {f"X-MDPT-{size.upper()}": shape for size, shape in SHAPES.items()} == {
        name: shape for name, shape in printed.items() if name.startswith("X-MDPT")
    }

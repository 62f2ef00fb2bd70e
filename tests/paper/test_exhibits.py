"""An exhibit's record, tables and figures on disk."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from xmdpt.paper.exhibits import Claim, Exhibit, read_exhibits, read_sheet, write_exhibit


def figure() -> Figure:
    drawn = Figure(figsize=(1, 1))
    drawn.subplots().plot([0, 1], [1, 0])
    return drawn


def exhibit(name: str = "table_3", **more) -> Exhibit:
    return Exhibit(name, f"{name}.", "A caption.", "On nothing.", **more)


def test_what_is_written_reads_back_in_the_papers_order(tmp_path):
    frame = pd.DataFrame({"method": ["PIDM", "ours"], "FID": ["6.3670", None], "steps": [1, 2]})
    claim = Claim("Ours is faster.", "cannot tell", "1.0 (0.5 to 1.5)")
    more = {"tables": {"table_3": frame}, "figures": {"table_3_bars": figure()}}
    write_exhibit(exhibit(claims=(claim,), **more), tmp_path)
    write_exhibit(exhibit("table_1"), tmp_path)
    first, second = read_exhibits(tmp_path)
    assert (first["name"], second["name"]) == ("table_1", "table_3")
    assert (second["tables"], second["figures"]) == (["table_3"], ["table_3_bars"])
    assert second["claims"] == [
        {"text": "Ours is faster.", "status": "cannot tell", "evidence": "1.0 (0.5 to 1.5)",
         "live": None}
    ]  # fmt: skip
    assert (tmp_path / "reports/exhibits/table_3/table_3_bars.png").read_bytes()[:4] == b"\x89PNG"
    read = pd.read_csv(tmp_path / "reports/exhibits/table_3/table_3.csv", dtype=str)
    assert read["FID"].tolist()[0] == "6.3670" and read["FID"].isna()[1]


def test_a_markdown_table_keeps_digits_and_leaves_gaps_empty(tmp_path):
    frame = pd.DataFrame({"method": ["PIDM", "ours"], "FID": ["6.3670", None], "steps": [1, 2]})
    write_exhibit(exhibit(tables={"table_3": frame}), tmp_path)
    lines = (tmp_path / "reports/exhibits/table_3/table_3.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["method", "FID", "steps"]
    assert cells[2:] == [["PIDM", "6.3670", "1"], ["ours", "", "2"]]


def test_a_sheet_reads_back_picture_by_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 8, 3), np.uint8)
    rows = {"source": [*noise[0]], "ours": [noise[1][0], None, noise[1][2]]}
    write_exhibit(exhibit("figure_7", sheet=rows), tmp_path)
    write_exhibit(exhibit("figure_8", sheet={"source": [], "ours": []}), tmp_path)
    first, second = read_exhibits(tmp_path)
    assert first["sheet"] == ["source", "ours"] and second["sheet"] == []
    found = read_sheet(first, tmp_path)
    assert [*found] == [*rows]
    for label, pictures in rows.items():
        for made, read in zip(pictures, found[label], strict=True):
            assert np.array_equal(read, np.full((8, 8, 3), 255) if made is None else made)
    assert read_sheet(second, tmp_path) == {}
    del first["sheet"]  # as records were before there were sheets
    assert read_sheet(first, tmp_path) == {}


def test_the_same_exhibit_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_exhibit(exhibit(figures={"table_3": figure()}), tmp_path / folder)
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.parametrize(
    "wrong", [{"name": "table_9"}, {"tables": {"figure_1": pd.DataFrame()}}], ids=["name", "file"]
)
def test_names_are_the_papers(wrong):
    with pytest.raises(ValueError, match=r"table_9|figure_1"):
        exhibit(**wrong)


def test_a_record_is_plain_json(tmp_path):
    write_exhibit(exhibit(), tmp_path)
    record = json.loads((tmp_path / "reports/exhibits/table_3/exhibit.json").read_text())
    assert record["provenance"] == "On nothing."


def test_a_notebook_shows_the_figures(tmp_path):
    shown = write_exhibit(exhibit(figures={"table_3_bars": figure()}), tmp_path)._repr_html_()
    found = re.fullmatch(r'<img alt="table_3." src="data:image/png;base64,(.+)">', shown)
    assert Image.open(io.BytesIO(base64.b64decode(found[1]))).size == (100, 100)

"""The notebook of source tokens in context, executed on rows as a finished profile leaves them."""

import json
import re

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from helpers.people import SIZE, write_dataset
from helpers.repository import ROOT
from helpers.results import results_of, with_settings
from nbformat.v4 import new_code_cell
from PIL import Image

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import mangle, result_name

DARKER = {"base_b": 30, "no_mask": 20, "context": 10, "no_mask_longer": 15}
"""By how many of 255 levels the pictures of each row are darker than the truth."""


def write_row(results, run, data, darker):
    """Pictures of a row, and scores and a history that follow from how dark they are."""
    samples, reports = results.root / f"data/samples/{run}/main", results.root / "reports"
    for folder in (samples, reports / "scores", reports / "metrics"):
        folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for pair in data.pairs("test"):
        picture = np.maximum(data.picture(pair[1]).astype(int) - darker, 0).astype(np.uint8)
        Image.fromarray(picture).save(samples / result_name(*pair))
        source, target = map(mangle, pair)
        person = re.match(r"fashion.+?id\d{8}", target)[0]
        lines.append(("main", source, target, person, darker / 100))
    pairs = pd.DataFrame(lines, columns=["row", "source", "target", "person", "st_lpips"])
    pairs.to_csv(reports / f"scores/{run}.tsv", sep="\t", index=False)
    history = pd.DataFrame({"step": [10, 20], "fixed_mse": [0.5, darker / 100]})
    history.to_csv(reports / f"metrics/train_{run}.tsv", sep="\t", index=False)
    scores = {"main": {"st_lpips": darker / 100}, "copy_source": {"st_lpips": 0.4}}
    (reports / f"scores/{run}.json").write_text(json.dumps(scores))


@pytest.mark.slow
def test_rows_are_set_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    root = write_dataset(tmp_path / "people", people=5, views=3, test_people=4)
    results = with_settings(results_of(tmp_path, "context"), data={"root": str(root), "size": SIZE})
    data = DeepFashion(root, SIZE)
    for run, darker in DARKER.items():
        write_row(results, run, data, darker)
    notebook = nbformat.read(ROOT / "notebooks/extensions/context.ipynb", as_version=4)
    notebook.cells.append(new_code_cell('gains.to_csv("gains.csv")'))
    nbformat.write(notebook, tmp_path / "context.ipynb")
    done = papermill.execute_notebook(
        str(tmp_path / "context.ipynb"),
        str(tmp_path / "done.ipynb"),
        parameters={"columns": 2},
        kernel_name="python3",
        start_timeout=300,
        progress_bar=False,
        cwd=tmp_path,
    )
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    gains = pd.read_csv(tmp_path / "gains.csv", index_col=["row", "metric", "people"])
    for run, title in (
        ("context", "Transformer, source tokens in context"),
        ("base_b", "X-MDPT-B"),
    ):
        less = DARKER["no_mask"] - DARKER[run]
        of_all = gains.loc[title].xs("everybody", level="people")
        assert of_all.loc["st_lpips", "gain"] == pytest.approx(less / 100)
        assert of_all.loc["colour_error", "gain"] == pytest.approx(less, abs=1)
        assert (of_all["pairs"] == len(data.pairs("test"))).all()
    groups = gains.loc["X-MDPT-B"].loc["st_lpips"]["pairs"]
    assert groups["everybody"] == groups["patterned clothes"] + groups["plain clothes"]
    assert groups.min() > 0

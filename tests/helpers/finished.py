"""A folder as the stages leave it, with noise for pictures: what pages of results are made from."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from helpers.repository import ROOT
from xmdpt.paper.exhibits import Claim, Exhibit, write_exhibit
from xmdpt.stages.pictures import data_uri
from xmdpt.stages.report import NOTEBOOKS, RUN_NOTEBOOKS

NOISE = np.random.default_rng(0).integers(0, 255, (900, 1800, 3), np.uint8)
PAIRS = 3


def change(folder: Path, old: str, new: str) -> None:
    """Change the settings of the folder."""
    params = folder / "params.yaml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new))


def execute(path: Path, picture: Path) -> None:
    """A notebook as if executed: prose with a formula, code, printed text, a table, a picture."""
    table = {"text/html": "<table><tr><td>1 & 2</td></tr></table>", "text/plain": "1"}
    image = {"image/png": data_uri(picture).split(",")[1], "text/plain": "<Figure>"}
    outputs = [
        new_output("stream", name="stdout", text="<0.5 & more\n"),
        new_output("display_data", data=table),
        new_output("display_data", data=image),
    ]
    text = new_markdown_cell(f"# {path.stem}\n\nThat is $x^2$.")
    cells = [text, new_code_cell("x = 1", outputs=outputs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


def row(offset: float) -> dict:
    """The scores of a row of 24 pairs, with intervals."""
    names = ("ssim", "psnr", "silhouette_iou", "st_lpips", "fd_effnet")
    values = {name: 0.5 + offset + i / 100 for i, name in enumerate(names)}
    ends = {
        "low": {k: v - 0.1 for k, v in values.items()},
        "high": {k: v + 0.1 for k, v in values.items()},
    }
    return values | ends | {"count": 24.0}


def history(steps: int) -> pd.DataFrame:
    """A training's losses, a row every ten steps."""
    step = np.arange(10, steps + 1, 10)
    return pd.DataFrame({"step": step, "loss": 1 / step, "mse": 0.9 / step, "grad_norm": 1.0})


def carry_out(reports: Path, run: str, steps: int) -> None:
    """What training, drawing and scoring of a run leave."""
    names = ["copy_source", "main", "mean_picture", "nearest_pose", "reconstruction"]
    offsets = (0, 0.1, -0.1, -0.2, 0.3)
    scores = {name: row(offset) for name, offset in zip(names, offsets, strict=True)}
    scores["truth"] = {"fd_effnet": 0.01, "count": 24.0, "few": {"fd_effnet": 1280}}
    (reports / f"scores/{run}.json").write_text(json.dumps(scores))
    history(steps).to_csv(reports / f"metrics/train_{run}.tsv", sep="\t", index=False)
    for name in ("train", "grid"):
        Image.fromarray(NOISE[:30, :40]).save(reports / f"figures/{name}_{run}.png")
    for stem in RUN_NOTEBOOKS:
        execute(reports / f"notebooks/{stem}-{run}.ipynb", reports / f"figures/train_{run}.png")


def compare(folder: Path) -> None:
    """An exhibit with pictures to lay over each other; one of them was not drawn."""
    names = ("source", "pose", "X-MDPT-B", "truth")
    rows = {name: [NOISE[16 * n : 16 * n + 16, 16 * m : 16 * m + 16] for m in range(PAIRS)]
            for n, name in enumerate(names)}  # fmt: skip
    rows["X-MDPT-B"][2] = None
    said = ("Figure 7. Side by side", "The same pairs.", "On rendered people, not DeepFashion.")
    write_exhibit(Exhibit("figure_7", *said, sheet=rows), folder)


def finished(folder: Path, runs: list[str]) -> Path:
    """Fill a folder as the stages of `runs` leave it; returns it."""
    params = (ROOT / "profiles/smoke.yaml").read_text()
    listed = "".join(f"  - {run}\n" for run in runs)
    kept = re.sub(r"(?m)^(runs:.*\n)(  - .*\n)+", rf"\g<1>{listed}", params)
    (folder / "params.yaml").write_text(kept)
    reports = folder / "reports"
    for name in ("metrics", "scores", "figures"):
        (reports / name).mkdir(parents=True)
    vae = {"before": {"psnr": 28.0, "ssim": 0.9}, "after": {"psnr": 30.0, "ssim": 0.95}}
    (reports / "metrics/vae.json").write_text(json.dumps(vae))
    Image.fromarray(NOISE).save(reports / "figures/people.png")
    Image.fromarray(NOISE[:30, :40]).save(reports / "figures/vae.png")
    for number, run in enumerate(runs):
        carry_out(reports, run, 100 - 50 * number)
    for stem in (*NOTEBOOKS, "table_1"):
        execute(reports / f"notebooks/{stem}.ipynb", reports / "figures/vae.png")
    frame = pd.DataFrame({"method": ["B"], "paper's FID": ["6.3671"], "our fd_effnet": ["99.1"]})
    claims = (
        Claim("Larger is better", "cannot tell", "gain 0 (-1 to 1)"),
        Claim("It is faster", "supported", "2 times"),
    )
    said = ("Table 1. Main comparison", "As printed.", "On rendered people, not DeepFashion.")
    made = {"tables": {"table_1": frame}, "figures": {"table_1_bars": Figure(figsize=(2, 1))}}
    write_exhibit(Exhibit("table_1", *said, **made, claims=claims), folder)
    compare(folder)
    return folder

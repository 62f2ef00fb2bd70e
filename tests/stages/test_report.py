"""The page: whole, self-contained, honest about what its numbers are, the same bytes each time."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from helpers.browser import browse
from helpers.repository import ROOT
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from xmdpt.config import ConfigError, load_config
from xmdpt.metrics.labels import BASELINES, LIMITS
from xmdpt.paper.exhibits import Claim, Exhibit, write_exhibit
from xmdpt.stages.report import NOTEBOOKS, RUN_NOTEBOOKS, data_uri, verdict, write_report


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
    names = ("ssim", "psnr", "silhouette_iou", "st_lpips", "fd_effnet")
    values = {name: 0.5 + offset + i / 100 for i, name in enumerate(names)}
    ends = {
        "low": {k: v - 0.1 for k, v in values.items()},
        "high": {k: v + 0.1 for k, v in values.items()},
    }
    return values | ends | {"count": 24.0}


@pytest.fixture
def made(tmp_path):
    """A folder as the stages of one run leave it, with noise for pictures."""
    params = (ROOT / "profiles/synthetic.yaml").read_text()
    alone = re.sub(r"(?m)^(runs:.*\n  - base_b\n)(  - .*\n)+", r"\1", params)
    (tmp_path / "params.yaml").write_text(alone)
    metrics, figures = tmp_path / "reports/metrics", tmp_path / "reports/figures"
    full = tmp_path / "reports/scores"
    metrics.mkdir(parents=True)
    full.mkdir()
    figures.mkdir()
    names = ["copy_source", "main", "mean_picture", "nearest_pose", "reconstruction"]
    offsets = (0, 0.1, -0.1, -0.2, 0.3)
    scores = {name: row(offset) for name, offset in zip(names, offsets, strict=True)}
    scores["truth"] = {"fd_effnet": 0.01, "count": 24.0, "few": {"fd_effnet": 1280}}
    (full / "base_b.json").write_text(json.dumps(scores))
    vae = {"before": {"psnr": 28.0, "ssim": 0.9}, "after": {"psnr": 30.0, "ssim": 0.95}}
    (metrics / "vae.json").write_text(json.dumps(vae))
    noise = np.random.default_rng(0)
    for name in ("people", "vae", "train_base_b", "grid_base_b"):
        size = (900, 1800, 3) if name == "people" else (30, 40, 3)
        Image.fromarray(noise.integers(0, 255, size, np.uint8)).save(figures / f"{name}.png")
    for stem in (*NOTEBOOKS, *(f"{stem}-base_b" for stem in RUN_NOTEBOOKS), "table_1"):
        execute(tmp_path / f"reports/notebooks/{stem}.ipynb", figures / "vae.png")
    write_exhibit(
        Exhibit(
            name="table_1",
            title="Table 1. Main comparison",
            caption="As printed.",
            provenance="On rendered people, not DeepFashion.",
            tables={
                "table_1": pd.DataFrame(
                    {"method": ["B"], "paper's FID": ["6.3671"], "our fd_effnet": ["99.1"]}
                )
            },
            figures={"table_1_bars": Figure(figsize=(2, 1))},
            claims=(Claim("Larger is better", "cannot tell", "gain 0 (-1 to 1)"),),
        ),
        tmp_path,
    )
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    params = folder / "params.yaml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new))


def test_page_is_whole_and_asks_for_nothing_outside(made):
    page = write_report(made).read_text()
    images = re.findall(r'<img src="([^"]{20})', page)
    assert len(images) == 5 and all(uri.startswith("data:image/") for uri in images)
    assert "data:image/jpeg" in page, "a large picture is made smaller"
    assert not re.search(r"(src|href)=\"?(https?:)?//|url\(|@import|<script|<link rel=.style", page)
    assert "Not made yet" not in page
    for word in ("X-MDPT-B", "copy the source", "nearest pose", "after its training", "24"):
        assert word in page
    assert (
        'href="exhibits/table_1/table_1.csv"' in page
        and 'href="exhibits/table_1/table_1_bars.png"' in page
    )
    assert "In sum: 1 cannot tell." in page and "trained each model once" in page
    assert '<td>6.3671</td><td class="ours">99.1</td>' in page
    assert 'href="pages/04_train-base_b.html"' in page and 'href="pages/table_1.html"' in page

    open_tags = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "link", "img", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Balance().feed(page)
    assert open_tags == []


def test_pages_of_notebooks_are_whole_and_ask_for_nothing_outside(made):
    write_report(made)
    pages = sorted((made / "reports/pages").glob("*.html"))
    executed = sorted((made / "reports/notebooks").glob("*.ipynb"))
    assert [page.stem for page in pages] == [path.stem for path in executed] and pages
    page = (made / "reports/pages/table_1.html").read_text()
    assert "&lt;0.5 &amp; more" in page and "data:image/png;base64," in page
    assert not re.search(r"(src|href)=\"?(https?:)?//|url\(|@import|<script|<link rel=.style", page)
    executed[0].unlink()
    (executed[0].parent / ".04_train.partial-7.ipynb").write_text("{")  # of a process killed
    write_report(made)
    assert not pages[0].exists(), "no page outlives its notebook"


def test_limits_are_shown_and_do_not_compete(made):
    page = write_report(made).read_text()
    body = page.split('id="runs"')[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = re.findall(r'<tr(?: class="(\w+)")?><th scope="row">([^<]*)</th>(.*?)</tr>', body)
    assert [kind for kind, _, _ in rows] == ["ours", "", "", "", "limit", "limit"]
    assert [label for _, label, _ in rows[1:]] == [*BASELINES.values(), *LIMITS.values()]
    assert not any("<strong>" in cells for kind, _, cells in rows if kind == "limit")
    assert "<strong>0.600</strong>" in rows[0][2]  # of SSIM, though the reconstruction has 0.800
    assert "0.0" in rows[-1][2] and "rows in italics" in page


def test_rows_over_fewer_pairs_have_their_number_and_do_not_compete(made):
    path = made / "reports/scores/base_b.json"
    assert ">pairs</th>" not in write_report(made).read_text()
    assert "Test pairs: 24." in write_report(made).read_text()
    scores = json.loads(path.read_text())
    scores = {"ablation": row(0.2) | {"count": 8.0}} | scores  # the best, of 8 pairs
    path.write_text(json.dumps(scores, sort_keys=True))
    body = write_report(made).read_text().split('id="runs"')[1]
    assert "Test pairs: as many as each row says." in body and ">pairs</th>" in body
    rows = re.findall(r'<th scope="row">([^<]*)</th>(.*?)</tr>', body.split("</tbody>")[0])
    counts = [re.match(r"<td>(\d+)</td>", cells)[1] for _, cells in rows]
    assert counts == ["8"] + ["24"] * 6
    bold = [label for label, cells in rows if "<strong>" in cells]
    assert "X-MDPT-B after 30 steps" not in bold and "X-MDPT-B after 150 steps" in bold


def test_same_results_same_bytes(made):
    first = write_report(made).read_bytes()
    assert write_report(made).read_bytes() == first


def test_page_says_where_training_began(made):
    assert "Warm-started: training began from the weights in data/pretrained/" in (
        write_report(made).read_text()
    )
    change(made, "init: data/pretrained/xmdpt-synthetic/transformer", "init: null")
    change(made, "ema_decay: 0.98 ", "ema_decay: 0.9 ")
    page = write_report(made).read_text()
    assert "Warm-started" not in page and "Trained from scratch for" in page


def test_stand_ins_keep_their_names(made):
    page = write_report(made).read_text()
    assert "it is not LPIPS" in page and "it is not FID" in page
    assert "<td>0.0\N{DAGGER}</td>" in page and "fewer pictures than features" in page
    headings = re.findall(r'<th scope="col">([^<]+) <', page)
    assert "st_lpips" in headings and "fd_effnet" in headings
    assert not {"LPIPS", "FID"} & set(headings)
    for caption in re.findall(r"(?:<figcaption>|class=.caption.>)(.*?)</", page):
        assert "rendered people, not DeepFashion" in caption


def test_data_are_named_after_the_data_and_not_after_the_protocol(made):
    assert "test people never seen in training" in write_report(made).read_text()
    change(made, "protocol: synthetic", "protocol: clean")
    page = write_report(made).read_text()
    assert "rendered people, not DeepFashion, under protocol clean" in page
    change(made, "protocol: clean", "protocol: synthetic")
    change(made, "raw: data/raw/none", "raw: data/raw/mine")
    params = (made / "params.yaml").read_text()
    (made / "params.yaml").write_text(re.sub(r"  rendered:\n(    .*\n)+", "", params))
    page = write_report(made).read_text()
    assert "computed on the data set in data/raw/mine, under protocol synthetic, unless" in page
    assert "rendered people, not DeepFashion, under" not in page
    assert "never seen in training" not in page and "own test pairs" in page


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("train_encoder: false", "train_encoder: false", "Its decoder was fine-tuned from data/"),
        ("train_encoder: false", "train_encoder: true", "Encoder and decoder were fine-tuned from"),
    ],
)
def test_what_was_trained_of_the_autoencoder_is_said(made, old, new, said):
    change(made, old, new)
    page = write_report(made).read_text()
    assert said in page and ("the encoder stayed as it was" in page) == (new == old)


def test_outside_a_clone_nothing_is_written(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_page_without_results_says_what_is_missing(tmp_path):
    shutil.copy(ROOT / "profiles/smoke.yaml", tmp_path / "params.yaml")
    page = write_report(tmp_path).read_text()
    runs = len(load_config(tmp_path / "params.yaml").runs)
    assert page.count("Not made yet") == 2 + 3 * runs
    assert "mean nothing" in page


def test_a_verdict_is_clear_only_where_the_paired_difference_is():
    """Intervals are of the gain, so that above zero is better, whichever way the metric goes."""
    gains = {"ssim": (0.05, 0.15), "st_lpips": (-0.2, -0.01), "psnr": (-0.1, 0.3)}
    scores = {
        "main": {"ssim": 0.8, "st_lpips": 0.3, "psnr": 10.1, "fd_effnet": 50.0, "count": 24.0},
        "copy_source": {"ssim": 0.7, "st_lpips": 0.2, "psnr": 10, "fd_effnet": 60.0, "count": 24.0},
    }
    scores["main"]["against"] = {"copy_source": gains}
    (line,) = verdict(scores, "main")
    name, said = line.split(": ")
    assert name == "Against “copy the source”"
    assert set(said.rstrip(".").split("; ")) == {
        "better on SSIM",
        "worse on st_lpips",
        "no clear difference on PSNR (dB)",
        "ahead, by a value without an interval, on fd_effnet",
    }
    scores["copy_source"]["count"] = 8.0  # of fewer pictures a Frechet distance is larger
    assert "fd_effnet" not in verdict(scores, "main")[0]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 375], ids=["desk", "phone"])
def test_in_a_real_browser(made, tmp_path, width):
    """Every picture shows, every link leads somewhere, nothing is wider than the screen."""
    start = write_report(made).resolve()
    with browse(tmp_path / "browser") as browser:
        for domain in ("Page", "Network", "Runtime", "Log"):
            browser.do(f"{domain}.enable")
        browser.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=800, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        for page in (start, *sorted((made / "reports/pages").glob("*.html"))):
            browser.do("Page.navigate", url=page.as_uri())
            browser.wait(f"location.href == '{page.as_uri()}' && document.readyState == 'complete'")
            assert browser.value("[...document.images].every(image => image.naturalWidth > 0)")
            assert browser.value("document.images.length") > 0
            wide = "e.getBoundingClientRect().right > innerWidth && !e.closest('.wide')"
            wide = f"[...document.querySelectorAll('main *')].filter(e => {wide})"
            assert browser.value(f"{wide}.map(e => e.outerHTML.slice(0, 100))") == []
            assert browser.value("document.documentElement.scrollWidth") <= width
            inside = "[...document.links].filter(l => l.pathname == location.pathname && l.hash)"
            lost = f"{inside}.map(l => decodeURIComponent(l.hash.slice(1)))"
            assert browser.value(f"{lost}.filter(id => !document.getElementById(id))") == []
            files = browser.value("[...document.links].map(link => link.pathname)")
            assert files and [path for path in files if not Path(path).is_file()] == []
    assert browser.problems == []
    assert {url.split(":")[0] for url in browser.urls} == {"file", "data"}

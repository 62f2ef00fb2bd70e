"""The page: whole, self-contained, honest about what its numbers are, the same bytes each time."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from helpers.finished import change, row
from helpers.repository import ROOT

from xmdpt.config import ConfigError, load_config
from xmdpt.metrics.labels import BASELINES, LIMITS
from xmdpt.stages.report import Page, render, verdict, write_report
from xmdpt.support.arguments import BadInput

OUTSIDE = r"(src|href)=\"?(https?:)?//|url\(|@import|<script src|<link rel=.style"
"""What asks for a file elsewhere."""


@pytest.fixture(scope="module")
def whole(finished_run, tmp_path_factory):
    """The folder of a finished run with its page, to be looked at alone."""
    folder = shutil.copytree(finished_run, tmp_path_factory.mktemp("page") / "run")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(whole):
    return (whole / "reports/index.html").read_text()


@pytest.fixture
def made(whole, tmp_path):
    """A copy of the folder, to be changed."""
    return shutil.copytree(whole, tmp_path / "run")


def text_of(folder, verdicts=None):
    """The page of a folder, without the pages of notebooks beside it."""
    return render(folder, load_config(folder / "params.yaml"), Page(verdicts=verdicts or {}))


def test_page_is_whole_and_asks_for_nothing_outside(page):
    images = re.findall(r'<img src="([^"]{20})', page)
    assert len(images) == 6 and all(uri.startswith("data:image/") for uri in images)
    assert '<img src="data:image/jpeg' in page, "a large picture is made smaller"
    assert not re.search(OUTSIDE, page)
    assert "Not made yet" not in page
    for word in ("X-MDPT-B", "copy the source", "nearest pose", "after its training", "24"):
        assert word in page
    assert (
        'href="exhibits/table_1/table_1.csv"' in page
        and 'href="exhibits/table_1/table_1_bars.png"' in page
    )
    assert "trained each model once" in page
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


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("metrics/vae.json", "run the stage `vae` again"),
        ("scores/base_b.json", "run the stage evaluate@base_b again"),
        ("exhibits/table_1/exhibit.json", "run the stage that makes this exhibit again"),
        ("costs.json", "run the stage `costs` again"),
    ],
)
def test_a_result_that_is_cut_is_named_with_its_cure(made, name, cure):
    shutil.rmtree(made / "reports/notebooks")  # whose pages take their time
    (made / "reports/index.html").unlink()
    path = made / "reports" / name
    path.write_text('{"cut": ')
    with pytest.raises(BadInput, match=f"^{path}: empty, or not whole; {cure}$"):
        write_report(made)
    assert not (made / "reports/index.html").exists()


def test_it_opens_with_what_is_decided_and_ends_with_the_rules(page):
    ids = re.findall(r'<h[23] id="([^"]*)"', page)
    parts = ["decided", "exhibits", "table_1", "figure_7", "curves", "runs", "provenance", "rules"]
    assert ids == parts
    opening = page.split('id="decided"')[1].split('id="exhibits"')[0]
    assert "1 supported, 1 cannot tell." in opening and opening.count("<img") == 1
    shown, folded = opening.split("<details")
    assert "It is faster" in shown and "Larger is better" not in shown
    assert "1 claim is not decided" in folded and "Larger is better" in folded


def test_claims_of_the_study_that_no_exhibit_shows_are_listed_once(made):
    line = {"where": "Section 3.4", "status": "supported", "judged by": "SSIM"}
    line |= {"claim": "Weaker is better", "gain": "+1.0 % (+0.5 to +1.5)"}
    line |= {"better, worse": "0.74, 0.73", "verdict": "supported, and smaller than the margin"}
    known = line | {"claim": "It is faster", "where": "Table 1", "status": "not run", "gain": ""}
    path = made / "reports/exhibits/table_1/exhibit.json"
    path.write_text(path.read_text().replace("It is faster", "It is faster (Table 1)"))
    page = text_of(made, {"weaker": line, "faster": known})
    assert page.count("It is faster (Table 1)") == 1
    assert "Weaker is better (Section 3.4)</th>" in page
    assert "study: SSIM 0.74, 0.73, gain +1.0 % (+0.5 to +1.5)" in page
    assert "and smaller than the margin" in page
    assert "2 supported, 1 cannot tell." in page, "of the table, where the claim is known already"


def test_once_the_study_has_verdicts_its_picture_is_at_the_top(made):
    study = made / "reports/reference/study/verdicts.png"
    study.parent.mkdir(parents=True)
    shutil.copy(made / "reports/figures/vae.png", study)
    opening = text_of(made).split('id="decided"')[1].split('id="exhibits"')[0]
    assert "over seeds and people" in opening and opening.count("<img") == 1
    assert "Grey: the margin" in opening and "not of this run" in opening
    assert "Computed on" not in opening.split("</figure>")[0]


def test_published_weights_are_not_said_to_be_trained_here(tmp_path):
    shutil.copy(ROOT / "profiles/released.yaml", tmp_path / "params.yaml")
    page = text_of(tmp_path)
    runs = page.split('id="runs"')[1].split('id="rules"')[0].split("<pre")[0]
    assert runs.count("Not trained here: the weights are those that the authors published") == 3
    assert "rom scratch" not in runs and "for 0 steps" not in runs
    assert "are the authors' published weights" in runs and "data/released/vae, as it is" in runs


def test_curves_are_those_of_each_training(page):
    found = page.split('<div class="curves" hidden>')[1]
    curves = json.loads(re.search(r"<script[^>]*>(.*?)</script>", found, re.S)[1])
    assert [one["key"] for one in curves["quantities"]] == ["loss", "mse", "grad_norm"]
    (run,) = curves["runs"]
    assert (run["name"], run["title"]) == ("base_b", "X-MDPT-B")
    assert run["values"]["step"] == [*range(10, 101, 10)]
    assert run["values"]["loss"] == pytest.approx([1 / step for step in run["values"]["step"]])


def test_pages_of_notebooks_are_whole_and_ask_for_nothing_outside(made):
    pages = sorted((made / "reports/pages").glob("*.html"))
    executed = sorted((made / "reports/notebooks").glob("*.ipynb"))
    assert [page.stem for page in pages] == [path.stem for path in executed] and pages
    page = (made / "reports/pages/table_1.html").read_text()
    assert "&lt;0.5 &amp; more" in page and "data:image/png;base64," in page
    assert not re.search(OUTSIDE, page) and "<script" not in page
    executed[0].unlink()
    (executed[0].parent / ".04_train.partial-7.ipynb").write_text("{")  # of a process killed
    write_report(made)
    assert not pages[0].exists(), "no page outlives its notebook"


def test_limits_are_shown_and_do_not_compete(page):
    body = page.split('id="runs"')[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = re.findall(r'<tr(?: class="(\w+)")?><th scope="row">([^<]*)</th>(.*?)</tr>', body)
    assert [kind for kind, _, _ in rows] == ["ours", "", "", "", "limit", "limit"]
    assert [label for _, label, _ in rows[1:]] == [*BASELINES.values(), *LIMITS.values()]
    assert not any("<strong>" in cells for kind, _, cells in rows if kind == "limit")
    assert "<strong>0.600</strong>" in rows[0][2]  # of SSIM, though the reconstruction has 0.800
    assert "0.0" in rows[-1][2] and "rows in italics" in page


def test_rows_over_fewer_pairs_have_their_number_and_do_not_compete(made, page):
    path = made / "reports/scores/base_b.json"
    assert ">pairs</th>" not in page and "Test pairs: 24." in page
    scores = json.loads(path.read_text())
    scores = {"ablation": row(0.2) | {"count": 8.0}} | scores  # the best, of 8 pairs
    path.write_text(json.dumps(scores, sort_keys=True))
    body = text_of(made).split('id="runs"')[1]
    assert "Test pairs: as many as each row says." in body and ">pairs</th>" in body
    rows = re.findall(r'<th scope="row">([^<]*)</th>(.*?)</tr>', body.split("</tbody>")[0])
    counts = [re.match(r"<td>(\d+)</td>", cells)[1] for _, cells in rows]
    assert counts == ["8"] + ["24"] * 6
    bold = [label for label, cells in rows if "<strong>" in cells]
    assert "X-MDPT-B after 2 steps" not in bold and "X-MDPT-B after 4 steps" in bold


def test_same_results_same_bytes(made, page):
    assert write_report(made).read_text() == page, "wherever they lie"


def test_page_says_where_training_began(made, page):
    assert "Warm-started: training began from the weights in data/pretrained/" in page
    change(made, "init: data/pretrained/xmdpt-synthetic/transformer", "init: null")
    page = text_of(made)
    assert "Warm-started" not in page and "Trained from scratch for" in page


def test_stand_ins_keep_their_names(page):
    assert "it is not LPIPS" in page and "it is not FID" in page
    assert "<td>0.0\N{DAGGER}</td>" in page and "fewer pictures than features" in page
    headings = re.findall(r'<th scope="col">([^<]+) <', page)
    assert "st_lpips" in headings and "fd_effnet" in headings
    assert not {"LPIPS", "FID"} & set(headings)
    for caption in re.findall(r"(?:<figcaption>|class=.caption.>)(.*?)</", page):
        assert "rendered people, not DeepFashion" in caption


def test_data_are_named_after_the_data_and_not_after_the_protocol(made, page):
    assert "test people never seen in training" in page
    change(made, "protocol: synthetic", "protocol: clean")
    page = text_of(made)
    assert "rendered people, not DeepFashion, under protocol clean" in page
    change(made, "protocol: clean", "protocol: synthetic")
    change(made, "raw: data/raw/none", "raw: data/raw/mine")
    params = (made / "params.yaml").read_text()
    (made / "params.yaml").write_text(re.sub(r"  rendered:\n(    .*\n)+", "", params))
    page = text_of(made)
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
    page = text_of(made)
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

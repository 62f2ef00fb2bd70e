"""The study's page, from made scores whose truth is known."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.repository import ROOT
from PIL import Image

from xmdpt.study.design import load_design
from xmdpt.study.figures import WIDEST, draw_figures, trends_figure, verdicts_figure
from xmdpt.study.findings import (
    find,
    foretold,
    gain_so_far,
    papers_gain,
    relative,
    shared_seeds,
    trend_rows,
)
from xmdpt.study.page import (
    BEGIN,
    DECIDED,
    END,
    decided,
    headlines,
    in_words,
    page,
    verdict_rows,
    write_page,
)
from xmdpt.study.scores import GROUPS, write_scores
from xmdpt.study.verdicts import JUDGED_BY

DESIGN = load_design(ROOT / "claims.yaml")
PEOPLE = 40
BEST = {
    "st_lpips": 0.1, "ssim": 0.75, "psnr": 18.0, "silhouette_iou": 0.8, "sharpness": 0.9,
    "fd_effnet": 60.0, "kd_effnet": 0.06,
}  # fmt: skip
WORSE = {"no_mask": 0.8, "size_s": 0.7, "copy_source": 0.5, "canet_local": 0.45}
"""What rows reach of the best: a copy is no better than half, one row is worse than that."""


def made(row, seed, rng):
    """A drawing's scores; lower is better divides by the row's share, higher multiplies."""
    share = WORSE.get(row, 1.0)
    lower = ("st_lpips", "fd_effnet", "kd_effnet")
    values = {name: v / share if name in lower else v * share for name, v in BEST.items()}
    noise = rng.normal(size=(len(BEST), PEOPLE)) * 0.02
    own = dict(zip(BEST, noise, strict=True))
    means = {n: [*(values[n] * (1 + own[n]))] for n in BEST if not n.endswith("effnet")}
    distances = {}
    for n in (name for name in BEST if name.endswith("effnet")):
        without = values[n] * (1 + own[n][:GROUPS] / GROUPS)
        distances[n] = {"whole": float(without.mean()), "without": [*without]}  # no bias
    names = [f"id_{index:03}" for index in range(PEOPLE)]
    return {"count": 4 * PEOPLE, "people": names, "means": means, "distances": distances}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The runs of all rows with all seeds, but for one row's last seed."""
    folder, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    about = {"commit": "c" * 40, "minutes": 12.5, "samples": 256_000}
    for row in DESIGN.rows:
        for seed in DESIGN.seeds:
            path = folder / f"runs/{row}-{seed}.json"
            if (row, seed) != ("size_l", DESIGN.seeds[-1]):
                write_scores(path, about | made(row, seed, rng))
            sheet = rng.integers(0, 255, (64, 128, 3), dtype=np.uint8)
            Image.fromarray(sheet).save(path.with_suffix(".jpg"))
    for row in ("copy_source", "truth"):
        scores = made(row, 0, rng)
        if row == "truth":
            scores["means"] = {}
        write_scores(folder / f"runs/{row}-0.json", {"commit": "c" * 40} | scores)
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return find(DESIGN, folder / "runs")


def test_verdicts_follow_the_truth(found):
    status = {name: verdict.status for name, verdict in found.verdicts.items()}
    assert status["mipnet_plain"] == status["mipnet_plain_lpips"] == "supported"
    assert status["mdt_plain_lpips"] == "not supported", "no_mask was made worse"
    assert status["mask_30_50"] == "no difference"
    assert status["noise"] == "supported", "equal is what it claims"
    assert {r["name"]: r["verdict"] for r in verdict_rows(found)}["noise"] == "supported"
    assert status["size_l_b"] == "not run"
    assert status["global_local"] == "cannot tell"
    assert "canet_local no better than a copy" in found.verdicts["global_local"].reason


def test_gains_are_in_per_cent_of_what_base_b_lacks(found):
    gain = found.verdicts["mipnet_plain"].gain.difference
    assert relative(gain, found.scores["fd_effnet"], "fd_effnet") == pytest.approx(25, abs=2)
    gain = found.verdicts["longer_ssim"].gain.difference
    assert relative(gain, found.scores["ssim"], "ssim") == pytest.approx(0, abs=2)
    claims = DESIGN.claims
    assert papers_gain(claims["mipnet_plain"]) == pytest.approx(100 * (7.1150 / 6.7288 - 1))
    assert papers_gain(claims["longer_ssim"]) == pytest.approx(100 * 0.0069 / (1 - 0.7284))
    assert papers_gain(claims["guidance_fid"]) is None
    assert papers_gain(claims["global_local"]) == pytest.approx(100 * 4.342 / 6.7288)
    assert papers_gain(claims["longer_fid"]) == pytest.approx(100 * (1 - 6.7288 / 7.3293))
    assert papers_gain(claims["cross_lpips"]) == pytest.approx(100 * 0.0060 / 0.1814)
    early = papers_gain(DESIGN.claims["size_b_s_early"])
    assert early == pytest.approx(100 * (7.4282 - 6.7288) / 7.3293), "of the finished B, as ours"


def test_a_gain_is_the_same_before_and_after_it_is_judged(found):
    for verdict in found.verdicts.values():
        if verdict.gain is not None:
            metric = JUDGED_BY[verdict.claim.metric]
            judged = relative(verdict.gain.difference, found.scores[metric], metric)
            assert gain_so_far(found, verdict.claim, DESIGN.seeds) == pytest.approx(judged)


def test_what_the_paper_has_beyond_the_axis_is_an_arrow(found):
    beyond = [c for c in DESIGN.claims.values() if abs(papers_gain(c) or 0) > WIDEST]
    lines = verdicts_figure(found).axes[0].lines
    ends = [one for one in lines if one.get_mfc() == "none" and one.get_marker() == ">"]
    assert 0 < len(ends) <= len(beyond) and all(one.get_xdata()[0] == WIDEST for one in ends)


def test_before_all_seeds_are_there_gains_are_of_those_that_both_rows_have(found):
    by_name = {row["name"]: row for row in verdict_rows(found)}
    size = by_name["size_l_b"]
    assert size["status"] == "under way" and size["verdict"] == "2 of 3 seeds"
    assert size["better, worse"] == "60.0, 60.0" and size["gain"] == "+0.0 %"
    ssim = DESIGN.claims["longer_ssim"]
    assert gain_so_far(found, ssim, [0]) == pytest.approx(0, abs=4), "the larger is better"
    assert shared_seeds(found, DESIGN.claims["size_l_b"]) == [*DESIGN.seeds[:-1]]


def test_a_further_seed_stands_beside_its_interval_and_decides_nothing(folder, found, tmp_path):
    assert not foretold(found) and "not in the study" not in page(found, ())
    shutil.copytree(folder / "runs", tmp_path / "runs")
    scores = made("base_b", 7, np.random.default_rng(7))
    scores["means"]["ssim"] = [*(0.5 * np.array(scores["means"]["ssim"]))]  # far from all others
    write_scores(tmp_path / "runs/base_b-7.json", {"commit": "c" * 40, "samples": 1} | scores)
    further = find(DESIGN, tmp_path / "runs")
    by_metric = {one.metric: one for one in foretold(further)}
    assert {one.row for one in by_metric.values()} == {"base_b"} and len(by_metric) == len(BEST)
    assert not by_metric["ssim"].inside and by_metric["ssim"].value < 0.5
    low, high = by_metric["st_lpips"].interval
    assert by_metric["st_lpips"].inside and low < 0.1 < high
    text = page(further, ())
    assert "6 of 7 scores lie" in text and f"**{by_metric['ssim'].value:.3f}**" in text
    assert verdict_rows(further) == verdict_rows(found), "the claims are judged as before"
    before, _, _ = text.partition("## Seeds that were not in the study")
    assert before.strip() == page(found, ()).strip()


def test_a_further_seed_of_the_only_finished_row_says_nothing_yet(folder, tmp_path):
    """The spread between seeds is pooled over rows, and of one row little is known."""
    (tmp_path / "runs").mkdir()
    for path in (folder / "runs").glob("*.json"):
        if path.name.startswith(("base_b-", "copy_source-")):
            shutil.copy(path, tmp_path / "runs")
    shutil.copy(folder / "runs/base_b-0.json", tmp_path / "runs/base_b-7.json")
    found = find(DESIGN, tmp_path / "runs")
    assert "base_b" in found.further[7]["ssim"].rows and foretold(found) == []


def test_follow_ups_stand_at_the_end_and_decide_nothing(folder, found, tmp_path):
    assert "## Where" not in page(found, ())
    shutil.copytree(folder / "runs", tmp_path / "runs")
    about, rng = (
        {"commit": "d" * 40, "minutes": 50.0, "samples": 1_024_000},
        np.random.default_rng(3),
    )
    write_scores(tmp_path / "follow_ups/base_b_long-0.json", about | made("base_b", 0, rng))
    shutil.copy(folder / "runs/copy_source-0.json", tmp_path / "follow_ups")
    tried = find(DESIGN, tmp_path / "runs")
    assert verdict_rows(tried) == verdict_rows(found)
    before, _, after = page(tried, ()).partition("## Where")
    assert before.strip() == page(found, ()).strip()
    assert DESIGN.claims["longer_fid"].claim in after and "1,024,000" in after
    assert "`copy_source`" in after and "guidance_5" not in after, "what was not run is left out"


def test_trends_compare_maskings_where_all_rows_are_there(found):
    rows = {(row["trend"], row["over"], row["metric"]): row for row in trend_rows(found)}
    assert len(rows) == 4 * len(DESIGN.trends)
    plain = rows["16 tokens", "no_mask", "fd_effnet"]
    assert plain["low"] < plain["gain"] < plain["high"]
    assert plain["gain"] == pytest.approx(25, abs=2)
    assert rows["16 tokens", "mdt", "st_lpips"]["gain"] == pytest.approx(0, abs=2)


def test_the_page_says_it(found, folder):
    text = page(found, ["verdicts.png", "rows.jpg"])
    assert "Verdicts are final when all are there" in text and "commit cccccccccccc" in text
    assert "trends.png" not in text and "![" in text
    assert text.index("| claim") < text.index("Holm's procedure")
    assert "](../../../docs/results/study.md)" in text
    [line] = [line for line in text.splitlines() if "MIPNet beats the plain transformer" in line]
    assert "+5.7 %" in line and "60.0, 75.0" in line and "| supported" in line
    [line] = [line for line in text.splitlines() if line.startswith("| `no_mask`")]
    assert "| 3" in line and "256,000" in line and "12.5" in line and "75.0 ± 0.0" in line
    [line] = [line for line in text.splitlines() if line.startswith("| `truth`")]
    assert "60.0" in line


@pytest.mark.slow
def test_the_kept_verdicts_are_those_of_the_kept_runs():
    kept = ROOT / "reports/reference/study"
    found = find(DESIGN, kept / "runs")
    run = "run: xmdpt study report"
    assert json.loads((kept / "verdicts.json").read_text()) == verdict_rows(found), run
    assert decided(found) in (ROOT / "README.md").read_text(encoding="utf-8"), run
    pictures = [path.name for path in kept.iterdir() if path.suffix in (".png", ".jpg")]
    assert (kept / "README.md").read_text(encoding="utf-8").rstrip() == page(
        found, pictures
    ).rstrip(), run


def test_the_page_says_whose_code_the_follow_ups_are_of(found):
    made = {"guidance_1": {0: dict(found.records["base_b"][0], commit="e" * 40)}}
    text = page(replace(found, follow_ups=made), ())
    assert "by the code of commit eeeeeeeeeeee, test" in text


def test_everything_is_written_and_again_the_same(folder):
    assert write_page(DESIGN, folder) == folder / "README.md"
    written = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {*written} == {"README.md", "verdicts.json", "verdicts.png", "trends.png", "rows.jpg"}
    verdicts = {one["name"]: one for one in json.loads(written["verdicts.json"])}
    assert {*verdicts} == {*DESIGN.claims} and verdicts["mipnet_plain"]["status"] == "supported"
    assert draw_figures(find(DESIGN, folder / "runs"), folder) == [
        "verdicts.png", "trends.png", "rows.jpg",
    ]  # fmt: skip
    assert Image.open(folder / "rows.jpg").width > 1000


def test_the_readme_says_what_is_decided(found, folder, tmp_path):
    runs, last = tmp_path / "study/runs", DESIGN.seeds[-1]
    shutil.copytree(folder / "runs", runs)
    shutil.copyfile(runs / "size_l-0.json", runs / f"size_l-{last}.json")
    readme = tmp_path / "README.md"
    readme.write_text(f"# X\n\n{BEGIN}\nold\n{END}\n\nmore\n")
    write_page(DESIGN, tmp_path / "study", readme)
    text = readme.read_text()
    assert "under way" not in text and "under way: 89 of 90" in decided(found)
    assert text.startswith("# X\n\n<!-- what is decided") and text.endswith("-->\n\nmore\n")
    assert f"Of {len(DESIGN.claims)} claims: " in text and "old" not in text
    [line] = [line for line in text.splitlines() if "MIPNet beats the plain transformer" in line]
    assert "+5.7 %" in line and line.rstrip(" |").endswith("supported")


def test_the_readme_has_ten_rows_of_different_places_the_decided_before_the_open(found):
    rows = verdict_rows(found)
    kept = headlines(rows)
    places = [row["where"].partition(",")[0] for row in kept]
    assert len(kept) == len(set(places)) == 10
    assert [row for row in rows if row in kept] == kept, "in the order of the page"
    decided_places = {row["where"].partition(",")[0] for row in rows if row["status"] in DECIDED}
    assert len(decided_places) > 5
    for row in kept:
        assert row["gain"]
        if row["status"] not in DECIDED:
            assert row["where"].partition(",")[0] not in decided_places
    [beyond] = headlines([row | {"where": "Table 1"} for row in rows])
    assert beyond["status"] in DECIDED


def test_a_page_before_any_row_has_all_its_seeds(folder, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").glob(f"*-{DESIGN.seeds[-1]}.json"):
        path.unlink()
    text = write_page(DESIGN, tmp_path).read_text()
    so_far = decided(find(DESIGN, tmp_path / "runs"))
    for row in DESIGN.rows:
        for path in (tmp_path / "runs").glob(f"{row}-*.json"):
            path.unlink()
    assert "0 of 90 drawings" in write_page(DESIGN, tmp_path).read_text(), "baselines alone"
    assert "under way: 0 of 90" in decided(find(DESIGN, tmp_path / "runs"))
    assert "| `no_mask`" in text and f"claims: {len(DESIGN.claims)} under way." in text
    for shown in (text, so_far):
        [line] = [x for x in shown.splitlines() if "MIPNet beats the plain transformer" in x]
        assert "+25.0 %" in line and "2 of 3 seeds" in line
    assert "60.0, 75.0" in text and "under way: 60 of 90" in so_far
    left = {path.suffix for path in tmp_path.iterdir()}
    assert left == {".md", ".json", ""}, "and no picture of an earlier time"


def test_a_design_needs_no_seed_0(folder):
    """What is not trained is scored once, as seed 0, whatever the design's seeds are."""
    found = find(DESIGN.model_copy(update={"seeds": [1, 2]}), folder / "runs")
    assert found.verdicts["mipnet_plain"].status == "supported"
    assert "copy_source" in found.records and "truth" in found.records
    assert not {"truth", "copy_source"} & {*found.further[0]["ssim"].rows}


def test_an_open_claim_of_equality_says_nothing_of_differences_it_would_have_seen(found):
    scores = found.scores["st_lpips"]
    for name, ending in (("noise", "cannot tell"), ("mask_50_30_lpips", " %")):
        verdict = replace(found.verdicts[name], status="cannot tell")
        assert in_words(verdict, scores, "st_lpips", DESIGN).endswith(ending)


def test_the_page_says_where_the_code_was_changed(folder, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    path = tmp_path / "runs/base_b-0.json"
    drawing = json.loads(path.read_text())
    del drawing["digest"]
    write_scores(path, drawing | {"commit": "d" * 40 + "-dirty"})
    assert "dddddddddddd-dirty" in page(find(DESIGN, tmp_path / "runs"), ())


def test_intervals_are_drawn_to_their_ends_and_no_further(found):
    bars = [one for one in verdicts_figure(found).axes[0].lines if one.get_linewidth() == 2]
    assert bars and {one.get_solid_capstyle() for one in bars} == {"butt"}


def test_one_trend_alone_is_no_figure(found):
    first = dict([next(iter(found.design.trends.items()))])
    design = found.design.model_copy(update={"trends": first})
    assert trends_figure(replace(found, design=design)) is None
    assert trends_figure(found) is not None

"""Scores of several folders: one table, intervals, who competes, paired gains."""

import json

import numpy as np
import pandas as pd
import pytest

from xmdpt.evaluation.summary import (
    paired_gains,
    score_figure,
    score_frame,
    score_table,
    summarise,
)
from xmdpt.metrics.labels import BASELINES, LIMITS, comparable


def test_summary(data, summary, tmp_path):
    scores, table = summary
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    frame = score_frame(scores)
    assert list(frame.index) == ["main", *BASELINES, *LIMITS]
    assert {"ssim", "st_lpips", "fd_effnet", "ssim_pidm", "psnr_pidm"} <= set(frame.columns)
    rivals = frame.drop(index=list(LIMITS))
    assert rivals["ssim"].idxmax() == "main" and rivals["st_lpips"].idxmin() == "main"
    assert set(scores["truth"]) == {"fd_effnet", "kd_effnet", "count", "few"}
    assert scores["truth"]["few"] == {"fd_effnet": 1280}
    # Results that are the truth but for a little noise are at about the same distance.
    assert scores["truth"]["fd_effnet"] == pytest.approx(scores["main"]["fd_effnet"], rel=0.3)
    for name in frame.index.drop("truth"):
        row = scores[name]
        assert all(row["low"][key] <= row[key] <= row["high"][key] for key in row["low"])
        assert "fd_effnet" not in row["low"]
    assert table.groupby("row").size().to_dict() == dict.fromkeys(scores, len(data.pairs("test")))
    means = table.groupby("row")["ssim"].mean()
    assert means["main"] == pytest.approx(scores["main"]["ssim"], rel=1e-4)
    table = score_table(scores, "Rendered people.")
    assert (
        f"**{scores['main']['ssim']:.3f}** ({scores['main']['low']['ssim']:.3f} to " in table
        and table.endswith("Rendered people.")
    )
    assert "ssim ↑" in table and "st_lpips ↓" in table
    lines = {line.split()[1]: line for line in table.splitlines() if line.startswith("| ")}
    assert all("**" not in lines[name] for name in LIMITS)
    figure_ = score_figure(scores)
    assert len(figure_.axes) == len(frame.columns)
    figure_.savefig(tmp_path / "a.png")


def test_rows_over_fewer_pairs_do_not_compete():
    def row(ssim: float, count: int) -> dict:
        ends = {"low": {"ssim": ssim - 0.1}, "high": {"ssim": ssim + 0.1}}
        return {"ssim": ssim, "fd_effnet": 100 * ssim, "count": count} | ends

    scores = {"ablation": row(0.9, 4), "main": row(0.7, 12), "copy_source": row(0.6, 12)}
    scores["truth"] = {"fd_effnet": 9.0, "count": 12}
    assert comparable(scores) == ["main", "copy_source", "truth"]
    heading, _, *lines = score_table(scores, "").splitlines()[:6]
    assert [cell.strip() for cell in heading.split("|")[2:4]] == ["pairs", "fd_effnet ↓"]
    assert [line.split("|")[2].strip() for line in lines] == ["4", "12", "12", "12"]
    assert ["**" in line for line in lines] == [False, True, True, False]
    bars = [patch.get_height() for patch in score_figure(scores).axes[0].patches]
    assert np.isnan(bars[0]) and bars[1:] == [70.0, 60.0, 9.0]
    scores["ablation"]["count"] = 12
    assert "pairs" not in score_table(scores, "") and len(comparable(scores)) == 4
    alone = score_table({"main": row(0.7, 12)}, "")
    assert "**" not in alone, "there is nothing to be better than"


def test_paired_gains_see_what_intervals_of_rows_do_not():
    """People differ far more than methods do; on one and the same pair the difference is small."""
    rng = np.random.default_rng(0)
    pair = {"source": [f"s{n}" for n in range(40)], "target": [f"t{n}" for n in range(40)]}
    people = [f"{n // 2}" for n in range(40)]
    base = pd.DataFrame(pair | {"person": people, "ssim": np.repeat(rng.normal(0.5, 0.2, 20), 2)})
    base = base.assign(st_lpips=base["ssim"], psnr=np.inf, row="copy_source")
    better = base.assign(ssim=base["ssim"] + 0.01, st_lpips=base["st_lpips"] + 0.01, row="main")
    noisy = base.assign(ssim=base["ssim"] + rng.normal(0, 0.1, 40), row="mean_picture")
    table = pd.concat([base, better.sample(frac=1, random_state=0)[:30], noisy])
    gains = paired_gains(table, "main", ["copy_source", "mean_picture"], seed=0)
    assert gains["copy_source"]["ssim"] == pytest.approx((0.01, 0.01))
    assert gains["copy_source"]["st_lpips"] == pytest.approx((-0.01, -0.01)), "lower is better"
    low, high = gains["mean_picture"]["ssim"]
    assert low < 0 < high and "psnr" not in gains["copy_source"]
    alone = paired_gains(table[table["person"] == "0"], "main", ["copy_source"], seed=0)
    assert alone == {"copy_source": {}}, "one person has no interval"


def test_noise_is_not_the_best_sharpness():
    scores = {name: {"sharpness": x, "ssim": x, "count": 4} for name, x in (("a", 1.5), ("b", 1.0))}
    table = score_table(scores, "")
    assert "| sharpness |" in table and table.count("**") == 2, (
        "SSIM has a best row, sharpness none"
    )


def test_it_says_which_folder_is_scored(data, results, capsys):
    summarise({"main": results}, data.root, data.root, "synthetic", 0, progress=True)
    assert "scoring main\n" in capsys.readouterr().err

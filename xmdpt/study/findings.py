"""What the study found: verdicts, scores and gains, for its page and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmdpt.study.design import Claim, Design
from xmdpt.study.scores import Drawings, read_drawings, scores_of
from xmdpt.study.verdicts import PERFECT, Scores, Verdict, gain_of, judge

SHOWN = ("st_lpips", "fd_effnet", "kd_effnet", "silhouette_iou", "ssim", "psnr", "sharpness")
"""The metrics of the table of rows."""


@dataclass(frozen=True)
class Findings:
    """All that the page says: verdicts by claim, scores by metric, and the drawings' records."""

    design: Design
    scores: Mapping[str, Scores]
    verdicts: Mapping[str, Verdict]
    records: Drawings


def find(design: Design, runs: Path) -> Findings:
    """Read all scores in `runs`, and judge."""
    records = read_drawings(runs)
    scores = scores_of(records, runs, SHOWN, design.seeds)
    return Findings(design, scores, judge(design, scores), records)


def relative(value: float, scores: Scores, metric: str) -> float:
    """A difference in per cent of what base_b lacks to a perfect score."""
    return 100 * value / abs(scores.mean("base_b") - PERFECT[metric])


def papers_gain(claim: Claim) -> float | None:
    """The paper's difference in per cent of what its `base_b` of that claim lacks, or None."""
    if claim.paper is None:
        return None
    better, worse = claim.paper
    perfect = 1.0 if claim.metric == "ssim" else 0.0
    base = better if claim.better.startswith("base_b") else worse
    gain = better - worse if claim.metric == "ssim" else worse - better
    return 100 * gain / abs(base - perfect)


def whole(drawing: Mapping[str, Any], metric: str) -> float | None:
    """A drawing's score over all people; None where it has none."""
    if metric in drawing["distances"]:
        return float(drawing["distances"][metric]["whole"])
    means = drawing["means"].get(metric)
    return None if means is None else float(np.mean(means))


def mean_over_seeds(found: Findings, row: str, metric: str) -> float:
    drawings = (found.records[row][seed] for seed in found.design.seeds)
    return float(np.mean([whole(one, metric) for one in drawings]))


def trend_rows(found: Findings) -> list[dict[str, Any]]:
    """What X-MDPT's masking gains over two others, in each trend whose rows are finished."""
    rows = []
    for trend in found.design.trends.values():
        for metric in ("fd_effnet", "st_lpips"):
            scores = found.scores[metric]
            for other in (trend.no_mask, trend.mdt):
                if trend.base_b not in scores.rows or other not in scores.rows:
                    continue
                gain = gain_of(found.design, found.scores, trend.base_b, other, metric)
                base = abs(scores.mean(trend.base_b))
                low, high = gain.interval()
                rows.append(
                    {
                        "trend": trend.title,
                        "over": "no_mask" if other == trend.no_mask else "mdt",
                        "metric": metric,
                        "gain": 100 * gain.difference / base,
                        "low": 100 * low / base,
                        "high": 100 * high / base,
                    }
                )
    return rows

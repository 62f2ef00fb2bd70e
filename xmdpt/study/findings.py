"""What the study found: verdicts, scores and gains, for its page and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmdpt.metrics.contrasts import seed_interval
from xmdpt.metrics.labels import METRICS
from xmdpt.paper.published import scores as printed
from xmdpt.study.design import BASE, FOLLOW_UPS, Claim, Design
from xmdpt.study.scores import UNTRAINED, Drawings, read_drawings, scores_of, units
from xmdpt.study.verdicts import (
    JUDGED_BY,
    PERFECT,
    Scores,
    Verdict,
    gain_of,
    judge,
    own_weights,
)

SHOWN = ("st_lpips", "fd_effnet", "kd_effnet", "silhouette_iou", "ssim", "psnr", "sharpness")
"""The metrics of the table of rows."""


@dataclass(frozen=True)
class Findings:
    """All that the page says: verdicts by claim, scores by metric, and the drawings' records.

    `further` has, by seed, the scores of drawings with seeds that are not of the design. They
    decide nothing, and `records` lacks them. Nor do the drawings of `follow_ups`.
    """

    design: Design
    scores: Mapping[str, Scores]
    verdicts: Mapping[str, Verdict]
    records: Drawings
    further: Mapping[int, Mapping[str, Scores]]
    follow_ups: Drawings


def _of_design(design: Design, row: str, own: Mapping[int, Any]) -> dict[int, Any]:
    """A row's drawings with the design's seeds; what is not trained has a seed of its own."""
    return {seed: one for seed, one in own.items() if seed in design.seeds or row in UNTRAINED}


def find(design: Design, runs: Path) -> Findings:
    """Read all scores in `runs` and in the folder of follow-ups beside it, and judge."""
    drawings = read_drawings(runs)
    trained = [own for row, own in drawings.items() if row not in UNTRAINED]
    seeds = {seed for own in trained for seed in own} - {*design.seeds}
    further = {seed: scores_of(drawings, runs, SHOWN, [seed]) for seed in sorted(seeds)}
    records = {
        row: known for row, own in drawings.items() if (known := _of_design(design, row, own))
    }
    scores = scores_of(records, runs, SHOWN, design.seeds)
    follow_ups = read_drawings(runs.parent / FOLLOW_UPS)
    return Findings(design, scores, judge(design, scores), records, further, follow_ups)


def per_cent(value: float, base: float, metric: str) -> float:
    """A difference in per cent of what the score `base` lacks to a perfect one."""
    return 100 * value / abs(base - PERFECT[metric])


def relative(value: float, scores: Scores, metric: str) -> float:
    """A difference in per cent of what base_b lacks to a perfect score."""
    return per_cent(value, scores.mean(BASE), metric)


def _gain(better: float, worse: float, base: float, metric: str) -> float:
    """What the first of two scores gains over the second, in per cent of what `base` lacks."""
    return per_cent(better - worse if METRICS[metric].higher else worse - better, base, metric)


def papers_gain(claim: Claim) -> float | None:
    """The paper's difference in per cent of what its `base_b` lacks, or None.

    That is the row of the claim itself; beside early rows, whose gains are taken by `base_b` too,
    the finished one of Table 1; else that of Table 2.
    """
    if claim.paper is None:
        return None
    better, worse = claim.paper
    sides = {claim.better: better, claim.worse: worse}
    table = "1" if any(row.endswith("_early") for row in sides) else "2a"
    rows = [row for row in printed() if (row.table, row.run) == (table, BASE)]
    finished = max(rows, key=lambda row: row.steps or 0)
    base = sides.get(BASE, float(getattr(finished, claim.metric)))
    return _gain(better, worse, base, JUDGED_BY[claim.metric])


def whole(drawing: Mapping[str, Any], metric: str) -> float | None:
    """A drawing's score over all people; None where it has none."""
    if metric in drawing["distances"]:
        return float(drawing["distances"][metric]["whole"])
    means = drawing["means"].get(metric)
    return None if means is None else float(np.mean(means))


def mean_over_seeds(found: Findings, row: str, metric: str, seeds: Sequence[int]) -> float:
    """A row's score over people and seeds, as gains take it: see `Scores.mean`."""
    return float(np.mean([units(found.records[row][seed], metric).mean() for seed in seeds]))


def shared_seeds(found: Findings, claim: Claim) -> list[int]:
    """The seeds so far of both rows of a claim, and of `base_b`, by which gains are measured."""
    rows = (claim.better, claim.worse, BASE)
    return sorted(set.intersection(*({*found.records.get(row, {})} for row in rows)))


def gain_so_far(found: Findings, claim: Claim, seeds: Sequence[int]) -> float:
    """What a claim's better row gains over some seeds, in per cent of what `base_b` lacks."""
    metric = JUDGED_BY[claim.metric]
    better, worse, base = (
        mean_over_seeds(found, row, metric, seeds) for row in (claim.better, claim.worse, BASE)
    )
    return _gain(better, worse, base, metric)


@dataclass(frozen=True)
class Foretold:
    """A metric of a row with a further seed, and where the seeds of the design predict it."""

    row: str
    seed: int
    metric: str
    value: float
    interval: tuple[float, float]

    @property
    def inside(self) -> bool:
        """Whether the value is in its interval."""
        low, high = self.interval
        return low <= self.value <= high


def foretold(found: Findings) -> list[Foretold]:
    """Further seeds against their 95 % prediction intervals, for finished rows with own weights."""
    tried = []
    for seed, by_metric in found.further.items():
        for metric, further in by_metric.items():
            known = found.scores[metric]
            rows = own_weights(found.design, known)
            if len(rows) < 2:  # over which the spread between seeds is pooled
                continue
            values = known.values[[known.rows.index(row) for row in rows]]
            tried += [
                Foretold(row, seed, metric, further.mean(row), seed_interval(values, index))
                for index, row in enumerate(rows)
                if row in further.rows
            ]
    return tried


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
                base, (low, high) = scores.mean(trend.base_b), gain.interval()
                rows.append(
                    {
                        "trend": trend.title,
                        "over": "no_mask" if other == trend.no_mask else "mdt",
                        "metric": metric,
                        "gain": per_cent(gain.difference, base, metric),
                        "low": per_cent(low, base, metric),
                        "high": per_cent(high, base, metric),
                    }
                )
    return rows

"""From scores of rows, seeds and people to a verdict on each claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmdpt.metrics.contrasts import Contrast, contrast, holm
from xmdpt.metrics.labels import METRICS
from xmdpt.paper.exhibits import Status
from xmdpt.study.design import BASE, Claim, Design

JUDGED_BY = {"fid": "fd_effnet", "lpips": "st_lpips", "ssim": "ssim"}
"""The paper's metric -> the metric of rendered people that judges it."""
PERFECT = {"fd_effnet": 0.0, "st_lpips": 0.0, "ssim": 1.0}
LEARNED = "st_lpips"
"""The metric in which a row must beat a copy of the source before it decides anything."""


@dataclass(frozen=True)
class Scores:
    """One metric of all rows: `values` (R, S, U) in the order of `rows`; see metrics.contrasts.

    `copy` (U,) has the scores of copying the source, for the same people.
    """

    rows: Sequence[str]
    values: np.ndarray
    copy: np.ndarray

    def mean(self, row: str) -> float:
        """The mean of a row over seeds and people."""
        return float(self.values[self.rows.index(row)].mean())


@dataclass(frozen=True)
class Verdict:
    """What the study says of a claim.

    `gain` is `better` less `worse`, turned so that more is better; None without runs. `margin` is
    the gain that would matter, `p_value` is adjusted for the number of claims, and `negligible`
    says that the whole interval of the gain lies within the margin.
    """

    claim: Claim
    status: Status
    gain: Contrast | None = None
    margin: float = float("nan")
    p_value: float = float("nan")
    negligible: bool = False
    reason: str = ""


def own_weights(design: Design, scores: Scores) -> list[str]:
    """The rows whose weights were trained for them: not those that base_b's weights draw too."""
    return [row for row in scores.rows if row not in design.same_weights]


def gain_of(
    design: Design, scores: Mapping[str, Scores], better: str, worse: str, metric: str
) -> Contrast:
    """What the row `better` gains over `worse` in a metric, turned so that more is better.

    Rows that the same weights draw move together from seed to seed: how much they move apart is
    pooled over them alone, and that of rows with weights of their own over those.
    """
    of_metric = scores[metric]
    one_network = {BASE, *design.same_weights}
    if {better, worse} <= one_network:
        family = [row for row in of_metric.rows if row in one_network]
    else:
        family = own_weights(design, of_metric)
    values = of_metric.values[[of_metric.rows.index(row) for row in family]]
    sides = (family.index(better), family.index(worse))
    first, second = sides if METRICS[metric].higher else sides[::-1]
    return contrast(values, first, second)


def unproven(scores: Mapping[str, Scores], row: str) -> bool:
    """Whether a row is not clearly better than copying the source, over people."""
    from scipy import stats  # a second of imports

    of_metric = scores[LEARNED]
    gain = of_metric.copy - of_metric.values[of_metric.rows.index(row)].mean(axis=0)
    return float(stats.ttest_1samp(gain, 0, alternative="greater").pvalue) > 0.025


def _missing(claim: Claim, scores: Mapping[str, Scores]) -> list[str]:
    """The rows that a verdict lacks: those of the claim, and BASE, which sets the margin."""
    known = scores[JUDGED_BY[claim.metric]].rows
    needed = dict.fromkeys((claim.better, claim.worse, BASE))
    return [row for row in needed if row not in known]


def _decide(claim: Claim, gain: Contrast, p_value: float, level: float, margin: float) -> Verdict:
    """Weigh one claim between rows that have learned something."""
    low, high = gain.interval(1 - level)
    negligible = -margin < low and high < margin
    status: Status = "cannot tell"
    if claim.equal:
        if negligible:
            status = "supported"
        elif p_value < level and abs(gain.difference) > margin:
            status = "not supported"
    elif p_value < level:
        status = "supported" if gain.difference > 0 else "not supported"
    elif negligible:
        status = "no difference"
    return Verdict(claim, status, gain, margin, p_value, negligible)


def judge(design: Design, scores: Mapping[str, Scores]) -> dict[str, Verdict]:
    """Return the verdict on each claim, from the `Scores` of each metric.

    A claim is supported or not by the sign of the difference, where Holm's procedure over all
    claims calls it one; otherwise, an interval within the margin shows that there is no difference
    that matters. A row that does not beat copying the source decides nothing.
    """
    verdicts: dict[str, Verdict] = {}
    gains: dict[str, Contrast] = {}
    for name, claim in design.claims.items():
        if missing := _missing(claim, scores):
            verdicts[name] = Verdict(claim, "not run", reason=f"{' and '.join(missing)} not run")
        else:
            metric = JUDGED_BY[claim.metric]
            gains[name] = gain_of(design, scores, claim.better, claim.worse, metric)
    adjusted = dict(zip(gains, holm([gain.p_value for gain in gains.values()]), strict=True))
    for name, gain in gains.items():
        claim = design.claims[name]
        metric = JUDGED_BY[claim.metric]
        margin = design.margin * abs(scores[metric].mean(BASE) - PERFECT[metric])
        verdict = _decide(claim, gain, adjusted[name], design.level, margin)
        if weak := [row for row in (claim.better, claim.worse) if unproven(scores, row)]:
            reason = f"{' and '.join(weak)} no better than a copy of the source"
            verdict = Verdict(claim, "cannot tell", gain, margin, adjusted[name], reason=reason)
        verdicts[name] = verdict
    return {name: verdicts[name] for name in design.claims}

"""What the study found, as a page: the verdict on each claim, and the scores of each row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from xmdpt.metrics.labels import BASELINES, LIMITS, METRICS
from xmdpt.paper.exhibits import Status
from xmdpt.study.beside import VERDICTS
from xmdpt.study.design import Claim, Design
from xmdpt.study.scores import find_drawings, read_drawing, read_scores
from xmdpt.study.verdicts import JUDGED_BY, PERFECT, Scores, Verdict, gain_of, judge
from xmdpt.support.files import atomic_path, write_json

SHOWN = ("st_lpips", "fd_effnet", "kd_effnet", "silhouette_iou", "ssim", "psnr", "sharpness")
"""The metrics of the table of rows."""
UNFINISHED = "The study is not finished: a claim is judged when its rows have all seeds."


@dataclass(frozen=True)
class Findings:
    """All that the page says: verdicts by claim, scores by metric, and the drawings' records."""

    design: Design
    scores: Mapping[str, Scores]
    verdicts: Mapping[str, Verdict]
    records: Mapping[str, Mapping[int, Mapping[str, Any]]]
    """Row -> seed -> what its file says."""


def find(design: Design, runs: Path) -> Findings:
    """Read all scores in `runs`, and judge."""
    records = {
        row: {seed: read_drawing(path) for seed, path in own.items()}
        for row, own in find_drawings(runs).items()
    }
    scores = read_scores(runs, SHOWN, design.seeds)
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


def _shown(metric: str, value: float) -> str:
    return f"{value:.{METRICS[metric].decimals}f}"


def verdict_rows(found: Findings) -> list[dict[str, str]]:
    """The table of verdicts: a claim a row."""
    rows = []
    for name, verdict in found.verdicts.items():
        claim, metric = verdict.claim, JUDGED_BY[verdict.claim.metric]
        paper = papers_gain(claim)
        row = {
            "name": name,
            "claim": claim.claim,
            "where": claim.place,
            "paper": "" if paper is None else f"{paper:+.1f} %",
            "judged by": METRICS[metric].label,
        }
        if verdict.gain is None:
            blank = dict.fromkeys(("better, worse", "gain"), "")
            rows.append(row | blank | {"status": verdict.status, "verdict": verdict.status})
            continue
        scores = found.scores[metric]
        low, high = (relative(end, scores, metric) for end in verdict.gain.interval())
        gain = relative(verdict.gain.difference, scores, metric)
        sides = (_mean_over_seeds(found, row, metric) for row in (claim.better, claim.worse))
        rows.append(
            row
            | {
                "better, worse": ", ".join(_shown(metric, value) for value in sides),
                "gain": f"{gain:+.1f} % ({low:+.1f} to {high:+.1f})",
                "status": verdict.status,
                "verdict": in_words(verdict, found.scores[metric], metric),
            }
        )
    return rows


def in_words(verdict: Verdict, scores: Scores, metric: str) -> str:
    """The verdict with what qualifies it."""
    if verdict.reason:
        return f"{verdict.status}: {verdict.reason}"
    if verdict.status == "cannot tell" and verdict.gain is not None:
        seen = relative(verdict.gain.detectable(), scores, metric)
        return f"{verdict.status}; would have seen {seen:.1f} %"
    if verdict.status in ("supported", "not supported") and verdict.negligible:
        return f"{verdict.status}, and smaller than the margin"
    return verdict.status


def score_rows(found: Findings) -> list[dict[str, str]]:
    """The table of rows: mean over seeds, and the deviation between seeds where there are some."""
    rows = []
    others = [row for row in (*BASELINES, *LIMITS) if row in found.records]
    for row in (*(row for row in found.design.rows if row in found.records), *others):
        drawings = list(found.records[row].values())
        minutes = [one["minutes"] for one in drawings if "minutes" in one]
        line = {
            "row": f"`{row}`",
            "seeds": str(len(drawings)) if minutes else "",
            "samples": f"{drawings[0]['samples']:,}" if minutes else "",
            "core-minutes": f"{np.mean(minutes):.1f}" if minutes else "",
        }
        for metric in SHOWN:
            values = [value for one in drawings if (value := _whole(one, metric)) is not None]
            text = _shown(metric, float(np.mean(values))) if values else ""
            if len(values) > 1:
                text += f" ± {np.std(values, ddof=1):.{METRICS[metric].decimals}f}"
            line[METRICS[metric].label] = text
        rows.append(line)
    return rows


def _whole(drawing: Mapping[str, Any], metric: str) -> float | None:
    """A drawing's score over all people; None where it has none."""
    if metric in drawing["distances"]:
        return float(drawing["distances"][metric]["whole"])
    means = drawing["means"].get(metric)
    return None if means is None else float(np.mean(means))


def _mean_over_seeds(found: Findings, row: str, metric: str) -> float:
    drawings = (found.records[row][seed] for seed in found.design.seeds)
    return float(np.mean([_whole(one, metric) for one in drawings]))


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


def _without(row: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in names}


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def summary(found: Findings) -> str:
    """One sentence: how many claims have which verdict."""
    counts = Counter(verdict.status for verdict in found.verdicts.values())
    said = ", ".join(f"{counts[status]} {status}" for status in get_args(Status) if counts[status])
    return f"Of {len(found.verdicts)} claims: {said}."


def _about(found: Findings) -> str:
    drawings = [one for own in found.records.values() for one in own.values()]
    commits = ", ".join(sorted({one["commit"][:12] for one in drawings}))
    people, pairs = len(drawings[0]["people"]), drawings[0]["count"]
    finished = sum(len(found.records.get(row, {})) for row in found.design.rows)
    wanted = len(found.design.rows) * len(found.design.seeds)
    return (
        f"{finished} of {wanted} drawings, {pairs:,} pairs of {people} people each, by the code of "
        f"commit {commits}. Rows and claims are those of `claims.yaml`; `docs/study.md` says how a "
        "verdict is reached."
    )


def page(found: Findings, pictures: Sequence[str]) -> str:
    """The page in Markdown; `pictures` are the names of the figures beside it."""
    captions = {
        "verdicts.png": "What each claim's better row gains, in per cent of what X-MDPT-B lacks to "
        "a perfect score, with 95 % intervals over seeds and people. Grey: the margin. Diamonds: "
        "the paper's differences.",
        "trends.png": "What X-MDPT's masking gains over the plain transformer and over MDT's, with "
        "95 % intervals, and the paper's gain in FID and LPIPS.",
        "rows.jpg": "The same pairs drawn by every row, first seed.",
    }
    parts = [
        "# The study",
        _about(found),
        summary(found),
        *([UNFINISHED] if any(v.status == "not run" for v in found.verdicts.values()) else []),
        "## Verdicts",
        "Gains are in per cent of what `base_b` lacks to a perfect score, the paper's likewise; "
        "positive is what the claim says. Intervals are 95 %, each for itself; verdicts are by "
        "Holm's procedure over all claims.",
        _table([_without(row, "name", "status") for row in verdict_rows(found)]),
        *(
            f"![{captions[name]}]({name})\n\n*{captions[name]}*"
            for name in captions
            if name in pictures
        ),
        "## Rows",
        "Means over seeds, ± the standard deviation between seeds.",
        _table(score_rows(found)),
    ]
    return "\n\n".join(parts) + "\n"


def write_page(design: Design, folder: Path) -> Path:
    """Write the page, the verdicts and the figures to `folder`, from the scores in its `runs`."""
    from xmdpt.study.figures import draw_figures

    found = find(design, folder / "runs")
    pictures = draw_figures(found, folder)
    write_json(folder / VERDICTS, verdict_rows(found))
    with atomic_path(folder / "README.md") as partial:
        partial.write_text(page(found, pictures), encoding="utf-8")
    return folder / "README.md"

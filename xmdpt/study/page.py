"""What the study found, as a page: the verdict on each claim, and the scores of each row."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from xmdpt.metrics.labels import BASELINES, COPY, LIMITS, METRICS
from xmdpt.paper.exhibits import DECIDED, HOW_TO_READ_GAINS, Status
from xmdpt.paper.reference import put_between
from xmdpt.study.beside import VERDICTS
from xmdpt.study.design import Claim, Design
from xmdpt.study.figures import draw_figures
from xmdpt.study.findings import (
    SHOWN,
    Findings,
    Foretold,
    find,
    foretold,
    gain_so_far,
    mean_over_seeds,
    papers_gain,
    relative,
    shared_seeds,
    whole,
)
from xmdpt.study.scores import Drawings
from xmdpt.study.verdicts import JUDGED_BY, Scores, Verdict
from xmdpt.support.files import atomic_path, write_json

BEGIN = "<!-- what is decided: xmdpt study report -->"
END = "<!-- end of what is decided -->"
HEADLINES = 10
COLUMNS = ("claim", "verdict", "gain", "paper", "judged by", "better, worse", "where")
"""Of the table of verdicts, so that a phone shows the verdict beside the claim."""
UNIT = (
    "Gains are in per cent of the gap between X-MDPT-B and a perfect score. 95 % intervals are of "
    "one claim alone, verdicts of all together."
)
UNDECIDED = "A claim is judged once its rows have all seeds. Verdicts are final when all are there."


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
            rows.append(row | _so_far(found, verdict))
            continue
        scores = found.scores[metric]
        low, high = (relative(end, scores, metric) for end in verdict.gain.interval())
        gain = relative(verdict.gain.difference, scores, metric)
        rows.append(
            row
            | {
                "better, worse": _sides(found, claim, found.design.seeds),
                "gain": f"{gain:+.1f} % ({low:+.1f} to {high:+.1f})",
                "status": verdict.status,
                "verdict": in_words(verdict, scores, metric, found.design),
            }
        )
    return rows


def _sides(found: Findings, claim: Claim, seeds: Sequence[int]) -> str:
    """The scores of a claim's two rows."""
    metric = JUDGED_BY[claim.metric]
    sides = (mean_over_seeds(found, row, metric, seeds) for row in (claim.better, claim.worse))
    return ", ".join(_shown(metric, value) for value in sides)


def _so_far(found: Findings, verdict: Verdict) -> dict[str, str]:
    """What is known of a claim that is not judged yet: the mean of its seeds, no interval."""
    claim, wanted = verdict.claim, len(found.design.seeds)
    if not (seeds := shared_seeds(found, claim)):
        blank = dict.fromkeys(("better, worse", "gain"), "")
        return blank | {"status": verdict.status, "verdict": verdict.status}
    return {
        "better, worse": _sides(found, claim, seeds),
        "gain": f"{gain_so_far(found, claim, seeds):+.1f} %",
        "status": "under way",
        "verdict": f"{len(seeds)} of {wanted} seeds",
    }


def in_words(verdict: Verdict, scores: Scores, metric: str, design: Design) -> str:
    """The verdict with what qualifies it."""
    if verdict.reason:
        return f"{verdict.status}: {verdict.reason}"
    if verdict.status == "cannot tell" and verdict.gain is not None and not verdict.claim.equal:
        strictest = design.level / len(design.claims)  # of Holm's procedure
        seen = relative(verdict.gain.detectable(1 - strictest), scores, metric)
        return f"{verdict.status}; would have seen {seen:.1f} %"
    differs = verdict.status in ("supported", "not supported") and not verdict.claim.equal
    if differs and verdict.negligible:
        return f"{verdict.status}, and smaller than the margin"
    return verdict.status


def score_rows(records: Drawings, names: Iterable[str]) -> list[dict[str, str]]:
    """The table of rows: mean over seeds, and the deviation between seeds where there are some."""
    rows = []
    for row in (name for name in names if name in records):
        drawings = list(records[row].values())
        minutes = [one["minutes"] for one in drawings if "minutes" in one]
        line = {
            "row": f"`{row}`",
            "seeds": str(len(drawings)) if minutes else "",
            "samples": f"{drawings[0]['samples']:,}" if minutes else "",
            "core-minutes": f"{max(minutes):.1f}" if minutes else "",
        }
        for metric in SHOWN:
            values = [value for one in drawings if (value := whole(one, metric)) is not None]
            text = _shown(metric, float(np.mean(values))) if values else ""
            if len(values) > 1:
                text += f" ± {np.std(values, ddof=1):.{METRICS[metric].decimals}f}"
            line[METRICS[metric].label] = text
        rows.append(line)
    return rows


def _foretold_rows(tried: Sequence[Foretold]) -> list[dict[str, str]]:
    """The table of further seeds: each metric with its interval, in bold where it lies outside."""
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for one in tried:
        value, low, high = (_shown(one.metric, number) for number in (one.value, *one.interval))
        value = value if one.inside else f"**{value}**"
        row = rows.setdefault((one.row, one.seed), {"row": f"`{one.row}`", "seed": str(one.seed)})
        row[METRICS[one.metric].label] = f"{value} ({low} to {high})"
    return [*rows.values()]


def _further(found: Findings) -> list[str]:
    """The section on seeds that are not of the design; nothing where there are none."""
    if not (tried := foretold(found)):
        return []
    inside = sum(one.inside for one in tried)
    return [
        "## Seeds that were not in the study",
        f"{inside} of {len(tried)} scores lie in the 95 % prediction interval that the study's "
        "seeds give for one more seed (in brackets; bold: outside). They decide nothing.",
        _table(_foretold_rows(tried)),
    ]


def _follow_ups(found: Findings) -> list[str]:
    """The section on what was tried where verdicts go against the paper, as far as it was."""
    tried = [one for one in found.design.follow_ups.values() if {*one.rows} & {*found.follow_ups}]
    if not tried:
        return []
    made = [one for own in found.follow_ups.values() for one in own.values()]
    parts = [
        "## Where verdicts go against the paper",
        f"Further rows, with one seed, by the code of commit {_commits(made)}, test the likeliest "
        "reason. They decide nothing.",
    ]
    for one in tried:
        claims = "; ".join(found.design.claims[name].claim for name in one.claims)
        rows = [f"* `{row}`: {words}" for row, words in one.rows.items()]
        parts += [
            f"*{claims}.* The likeliest reason why not: {one.reason}.",
            "\n".join(rows),
            _table(score_rows(found.follow_ups, (*one.rows, COPY))),
            *([one.showed] if one.showed else []),
        ]
    return parts


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _is_under_way(found: Findings) -> bool:
    """Whether some claim cannot be judged yet."""
    return any(verdict.status == "not run" for verdict in found.verdicts.values())


def summary(found: Findings) -> str:
    """One sentence: how many claims have which verdict."""
    counts = Counter(row["status"] for row in verdict_rows(found))
    said = ", ".join(f"{counts[status]} {status}" for status in get_args(Status) if counts[status])
    return f"Of {len(found.verdicts)} claims: {said}."


def _progress(found: Findings) -> str:
    finished = sum(len(found.records.get(row, {})) for row in found.design.rows)
    return f"{finished} of {len(found.design.rows) * len(found.design.seeds)} drawings"


def _commits(drawings: Iterable[Mapping[str, Any]]) -> str:
    """Of whose code drawings are: of 40 digits twelve, and "-dirty" where it stands behind them."""
    return ", ".join(sorted({one["commit"][:12] + one["commit"][40:] for one in drawings}))


def _about(found: Findings) -> str:
    drawings = [one for own in found.records.values() for one in own.values()]
    people, pairs = len(drawings[0]["people"]), drawings[0]["count"]
    return (
        f"{_progress(found)}, {pairs:,} pairs of {people} people each, by the code of "
        f"commit {_commits(drawings)}. Rows and claims are those of `claims.yaml`; "
        "[the rules](../../../docs/results/study.md) say how a verdict is reached."
    )


def page(found: Findings, pictures: Sequence[str]) -> str:
    """The page in Markdown; `pictures` are the names of the figures beside it."""
    captions = {
        "verdicts.png": HOW_TO_READ_GAINS,
        "trends.png": "What X-MDPT's masking gains over the plain transformer and over MDT's, in "
        "per cent of the distance of the X-MDPT that is trained likewise, with 95 % intervals, and "
        "the paper's gain in FID and LPIPS.",
        "rows.jpg": "The same pairs, drawn by every row with the first seed.",
    }
    parts = [
        "# The study",
        _about(found),
        summary(found),
        *([UNDECIDED] if _is_under_way(found) else []),
        "## Verdicts",
        _table([{name: row[name] for name in COLUMNS} for row in verdict_rows(found)]),
        "Gains are in per cent of the gap between `base_b` and a perfect score, and so are the "
        "paper's. A positive gain is what the claim says. Each 95 % interval is for one claim "
        "alone; verdicts use Holm's procedure over all claims. Scores here are as gains take them: "
        "fd_effnet is the jackknife's estimate, lower than in the table of rows by most of what "
        "so few pictures add to it.",
        *(
            f"![{captions[name]}]({name})\n\n*{captions[name]}*"
            for name in captions
            if name in pictures
        ),
        "## Rows",
        "Means over seeds, ± the standard deviation between seeds. Core-minutes are of the longest "
        "training of a row: one that was interrupted may count only what came after.",
        _table(score_rows(found.records, (*found.design.rows, *BASELINES, *LIMITS))),
        *_further(found),
        *_follow_ups(found),
    ]
    return "\n\n".join(parts) + "\n"


def decided(found: Findings) -> str:
    """What README says is decided: a claim a line, ten at most, and how far the study is."""
    said = summary(found)
    if _is_under_way(found):
        said = f"The study is under way: {_progress(found)} are scored. {UNDECIDED}"
    rows = [
        {
            "claim": f"{row['claim']} ({row['where'].partition(',')[0]})",
            "the paper": row["paper"],
            "the study": row["gain"],
            "verdict": row["verdict"] if row["status"] == "under way" else row["status"],
        }
        for row in headlines(verdict_rows(found))
    ]
    return f"{said} {UNIT}\n\n{_table(rows)}" if rows else said


def headlines(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Of the table of verdicts what README has room for, in its order.

    That is the first claim of each table or section of which something is known. If these are more
    than ten, those that the study cannot tell go first.
    """
    first: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: row["status"] not in DECIDED):
        if row["gain"]:
            first.setdefault(row["where"].partition(",")[0], row)
    kept = [row["name"] for row in first.values()][:HEADLINES]
    return [row for row in rows if row["name"] in kept]


def write_page(design: Design, folder: Path, readme: Path | None = None) -> Path:
    """Write the page, the verdicts and the figures to `folder`, from the scores in its `runs`.

    What is decided also goes between the two marks of `readme`.
    """
    found = find(design, folder / "runs")
    pictures = draw_figures(found, folder)
    write_json(folder / VERDICTS, verdict_rows(found))
    with atomic_path(folder / "README.md") as partial:
        partial.write_text(page(found, pictures), encoding="utf-8")
    if readme is not None:
        put_between(readme, BEGIN, END, decided(found))
    return folder / "README.md"

"""What one run of ours says beside a claim of the paper, and the claims about a single model.

One run of each model cannot judge a claim that compares two designs: its interval over people does
not know what another seed would give. The study judges those (`xmdpt.study`); what a run has to say
stands beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from pydantic import BaseModel

from xmdpt.config import Checkpoint
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.labels import COPY, METRICS
from xmdpt.paper.exhibits import Claim, Status
from xmdpt.paper.scores import Results

FEWEST_PEOPLE = 8
"""Intervals over fewer people are not trusted: a bootstrap cannot show people it has not seen."""
INVARIANT = 0.9999
"""Figure 5: the cosine between views of one person that the paper reports."""
MAY_DIFFER_IN_TRAINING = {
    "seed", "init", "resume", "checkpoints",
    "save_every", "log_every", "compile", "gradient_checkpointing", "accumulation", "processes",
}  # fmt: skip
"""Settings of `train` that may differ in a fair comparison, or that `_doubts` checks one by one."""
MAY_DIFFER_IN_SAMPLING = {"checkpoints", "batch_size"}
"""Settings of `sample` that may differ: only pairs that both runs drew are compared."""

Side = tuple[str, Checkpoint]
"""A run, and which of its checkpoints."""


@dataclass(frozen=True)
class Comparison:
    """Two runs, of which the paper says that the first is better in a metric."""

    better: Side
    worse: Side
    metric: Literal["fid", "ssim", "lpips"] = "lpips"


def study_found(line: Mapping[str, str]) -> list[str]:
    """What a line of the study's table measured, and what qualifies its verdict.

    Nothing before the study has run.
    """
    if not line["gain"]:
        return []
    measured = f"study: {line['judged by']} {line['better, worse']}, gain {line['gain']}"
    qualified = line["verdict"].removeprefix(line["status"]).lstrip(",;: ")
    return [measured, *([qualified] if qualified else [])]


def beside(comparison: Comparison, results: Results) -> str:
    """Compare two runs in words: both scores, the gain over people, and reasons for doubt."""
    key = results.metric(comparison.metric)
    sides = (comparison.better, comparison.worse)
    rows = [results.rows(run).get(checkpoint) for run, checkpoint in sides]
    missing = [
        f"{run} ({checkpoint})"
        for (run, checkpoint), row in zip(sides, rows, strict=True)
        if row is None or key not in row
    ]
    if missing:
        return f"{' and '.join(missing)} not among the runs of these settings"
    metric = METRICS[key]
    better, worse = (f"{row[key]:.{metric.decimals}f}" for row in rows if row is not None)
    said = f"{metric.label} {better} and {worse}"
    doubts = _doubts(comparison, results) + _unproven(comparison, results)
    if (gain := _gain(comparison, results, key)) is not None:
        said += f", {gain}"
    elif len(counts := {int(row["count"]) for row in rows if row is not None}) > 1:
        doubts.append(f"they are distances of {' and '.join(map(str, sorted(counts)))} pictures")
    return f"{said}, but {' and '.join(doubts)}" if doubts else said


def _gain(comparison: Comparison, results: Results, key: str) -> str | None:
    """The gain on the pairs that both runs drew, with its interval; None without such pairs."""
    better, worse = results.pairs(*comparison.better), results.pairs(*comparison.worse)
    if better is None or worse is None or key not in better:
        return None  # a distance between collections has no value for a pair
    joined = better.merge(worse, left_index=True, right_index=True, suffixes=("_better", "_worse"))
    gain = (joined[f"{key}_better"] - joined[f"{key}_worse"]).dropna()  # pairs a protocol drops
    gain = gain if METRICS[key].higher else -gain
    people = joined.loc[gain.index, "person_better"]
    return _in_numbers(gain, people, "pairs", results.config.seed)[0]


def _differing(first: BaseModel, second: BaseModel, exclude: set[str]) -> list[str]:
    """Names of the settings that differ, but for `exclude`."""
    one, other = (settings.model_dump(exclude=exclude) for settings in (first, second))
    return [name for name, value in one.items() if other[name] != value]


def _doubts(comparison: Comparison, results: Results) -> list[str]:
    """Reasons why a difference between two runs may not come from their design."""
    (run, checkpoint), (other_run, other_checkpoint) = comparison.better, comparison.worse
    first, second = results.of_run(run), results.of_run(other_run)
    steps = first.train.checkpoints[checkpoint], second.train.checkpoints[other_checkpoint]
    doubts = []
    if run != other_run and steps[0] != steps[1]:
        doubts.append(f"one was trained for {steps[0]:,} steps, the other for {steps[1]:,}")
    if unlike := _differing(first.train, second.train, MAY_DIFFER_IN_TRAINING):
        doubts.append(f"they were trained with another {' and '.join(unlike)}")
    if unlike := _differing(first.sample, second.sample, MAY_DIFFER_IN_SAMPLING):
        doubts.append(f"they were drawn with another {' and '.join(unlike)}")
    if first.train.resume is not None or second.train.resume is not None:
        doubts.append("training went on from a state that other settings had left")
    if first.train.init != second.train.init:
        doubts.append("one of the two alone is warm-started, or from other weights")
    elif first.train.init is not None:
        untrained = results.untrained(first.train.init)
        if changed := sorted(_differing(first.model, second.model, untrained)):
            doubts.append(
                f"both start from weights trained with one {' and '.join(changed)}, which another "
                "damages"
            )
    return doubts


def _unproven(comparison: Comparison, results: Results) -> list[str]:
    """The doubt that runs have learned nothing yet, since they do not beat a copy of the source."""
    weak, key = [], results.metric("lpips")
    for run, checkpoint in dict.fromkeys((comparison.better, comparison.worse)):
        against = results.rows(run)[checkpoint].get("against", {})
        if COPY in against and not against[COPY].get(key, (0,))[0] > 0:
            weak.append(run)
    verb = "draws" if len(weak) == 1 else "draw"
    doubt = f"{' and '.join(weak)} {verb} no better than a copy of the source"
    return [doubt] if weak else []


def _in_numbers(
    gain: pd.Series, people: pd.Series, unit: str, seed: int
) -> tuple[str, float, float]:
    """The mean gain with its bootstrap interval over people: in words, and its two ends."""
    low, high = bootstrap_interval(gain.tolist(), seed, people.tolist())
    said = (
        f"gain {gain.mean():+.4f} ({low:+.4f} to {high:+.4f}) on {len(gain)} {unit} of "
        f"{people.nunique()} people"
    )
    return said, low, high


def invariance_claim(title: str, history: pd.DataFrame) -> Claim:
    """Figure 5's claim, judged by the last condition vectors of a run."""
    last = history.iloc[-1]
    within, between, steps = last["cosine_person"], last["cosine_people"], int(last["step"])
    status: Status = "supported" if within > INVARIANT else "not supported"
    text = f"Views of one person give one vector (cosine above {INVARIANT} after 10k steps)"
    evidence = (
        f"{title} after {steps:,} steps: {within:.5f} within a person, {between:.5f} between "
        f"people; the gap of {within - between:.5f} is all that tells people apart"
    )
    return Claim(text, status, evidence)


def views_claim(distances: pd.DataFrame, seed: int) -> Claim:
    """Figure 2's claim: another view changes a picture less than another person does.

    `distances` has a row for each set of views: its `person`, the mean distance between the
    pictures drawn from the views (`drawn`), and their distance to someone else's (`others`).
    """
    known = distances.dropna(subset=["drawn", "others"])
    gain = known["others"] - known["drawn"]
    text = "Another view of a person changes a picture less than another person does (st_lpips)"
    if (people := known["person"].nunique()) < FEWEST_PEOPLE:
        evidence = f"{people} people were drawn from several views; {FEWEST_PEOPLE} are needed"
        return Claim(text, "cannot tell", evidence)
    evidence, low, high = _in_numbers(gain, known["person"], "sets of views", seed)
    status: Status = "supported" if low > 0 else "not supported" if high < 0 else "cannot tell"
    return Claim(text, status, evidence)

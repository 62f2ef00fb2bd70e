"""The paper's claims about its models, and whether our scores bear them out."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
from pydantic import BaseModel

from xmdpt.config import Checkpoint
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.labels import METRICS
from xmdpt.paper.exhibits import Claim, Status
from xmdpt.paper.scores import FEWEST_STEPS, Results

FEWEST_PEOPLE = 8
"""Intervals over fewer people are not trusted: a bootstrap cannot show people it has not seen."""
INVARIANT = 0.9999
"""Figure 5: the cosine between views of one person that the paper reports."""
MAY_DIFFER_IN_TRAINING = {
    "seed", "init", "resume", "checkpoints",
    "save_every", "log_every", "compile", "gradient_checkpointing",
}  # fmt: skip
"""Settings of `train` that may differ in a fair comparison, or that `_doubts` checks one by one."""
MAY_DIFFER_IN_SAMPLING = {"checkpoints", "batch_size"}
"""Settings of `sample` that may differ: only pairs that both runs drew are compared."""
COPY = "copy_source"
"""The baseline that a run must beat before its score says anything about its design."""

Side = tuple[str, Checkpoint]
"""A run, and which of its checkpoints."""


@dataclass(frozen=True)
class Comparison:
    """A claim of the paper that one run beats another in a metric of single pairs."""

    table: str
    text: str
    better: Side
    worse: Side
    metric: Literal["ssim", "lpips", "psnr"] = "lpips"


_B: Side = ("base_b", "ablation")
_B_LONG: Side = ("base_b", "main")
COMPARISONS = (
    Comparison("1", "X-MDPT-B beats X-MDPT-S early", _B, ("size_s", "ablation")),
    Comparison("1", "X-MDPT-B beats X-MDPT-S", _B_LONG, ("size_s", "main")),
    Comparison("1", "X-MDPT-L beats X-MDPT-B", ("size_l", "main"), _B_LONG),
    Comparison("1", "Longer training goes on to help", _B_LONG, _B),
    Comparison("1", "Longer training goes on to help", _B_LONG, _B, "ssim"),
    Comparison("2a", "MIPNet beats the plain transformer", _B, ("no_mask", "ablation")),
    Comparison("2a", "MIPNet beats MDT's masking", _B, ("mdt", "ablation")),
    Comparison("2b", "Masking 70% beats 30%", ("mask_70", "ablation"), _B),
    Comparison("2b", "Masking 50% beats 30%", ("mask_50", "ablation"), _B),
    Comparison(
        "2d", "Cross-attention to the source beats none", ("attention_cross", "ablation"),
        ("mdt", "ablation"),
    ),
    Comparison(
        "2d", "Cross-self attention beats self-cross", ("attention_cross_self", "ablation"), _B
    ),
    Comparison(
        "2e", "Both source features beat the local one alone", _B, ("canet_local", "ablation")
    ),
    Comparison(
        "2e", "The global source feature beats the local one", ("canet_global", "ablation"),
        ("canet_local", "ablation"),
    ),
)  # fmt: skip
"""What the printed numbers say. FID is left out: it has no value for a single pair."""


def judge(comparison: Comparison, results: Results) -> Claim:
    """Compare two runs on the pairs they share: is the 95 % interval of the gain clear of zero?

    The interval is a bootstrap over people. Clear above zero supports the claim, clear below
    refutes it. If it includes zero, or the comparison is not fair (`_doubts`), we cannot tell.
    """
    key = results.metric(comparison.metric)
    text = f"{comparison.text} (Table {comparison.table}, {METRICS[key].label})"
    better, worse = results.pairs(*comparison.better), results.pairs(*comparison.worse)
    if better is None or worse is None:
        sides = ((comparison.better, better), (comparison.worse, worse))
        missing = [f"{run} ({checkpoint})" for (run, checkpoint), pairs in sides if pairs is None]
        evidence = f"{' and '.join(missing)} not among the runs of these settings"
        return Claim(text, "not run", evidence)
    joined = better.merge(worse, left_index=True, right_index=True, suffixes=("_better", "_worse"))
    gain = (joined[f"{key}_better"] - joined[f"{key}_worse"]).dropna()  # pairs a protocol drops
    gain = gain if METRICS[key].higher else -gain
    people = joined.loc[gain.index, "person_better"]
    claim = _weigh(text, gain, people, "pairs", results.config.seed)
    if doubts := _doubts(comparison, results) + _unproven(comparison, results, key):
        return Claim(text, "cannot tell", f"{claim.evidence}, but {' and '.join(doubts)}")
    return claim


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
    if min(steps) < FEWEST_STEPS:
        doubts.append(f"{min(steps):,} steps are too few (below {FEWEST_STEPS:,})")
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


def _unproven(comparison: Comparison, results: Results, key: str) -> list[str]:
    """The doubt that runs have learned nothing yet, since they do not beat a copy of the source."""
    weak = []
    for run, checkpoint in dict.fromkeys((comparison.better, comparison.worse)):
        against = results.rows(run)[checkpoint].get("against", {})
        if COPY in against and not against[COPY].get(key, (0,))[0] > 0:
            weak.append(run)
    verb = "draws" if len(weak) == 1 else "draw"
    doubt = f"{' and '.join(weak)} {verb} no better than a copy of the source"
    return [doubt] if weak else []


def _weigh(text: str, gain: pd.Series, people: pd.Series, unit: str, seed: int) -> Claim:
    """Whether the mean gain is above zero, by its bootstrap interval over people."""
    low, high = bootstrap_interval(gain.tolist(), seed, people.tolist())
    evidence = (
        f"gain {gain.mean():+.4f} ({low:+.4f} to {high:+.4f}) on {len(gain)} {unit} of "
        f"{people.nunique()} people"
    )
    if people.nunique() < FEWEST_PEOPLE:
        return Claim(text, "cannot tell", f"{evidence} (below {FEWEST_PEOPLE})")
    status: Status = "supported" if low > 0 else "not supported" if high < 0 else "cannot tell"
    return Claim(text, status, evidence)


def claims(table: str, results: Results) -> tuple[Claim, ...]:
    """What our runs say about each claim of a table."""
    return tuple(judge(one, results) for one in COMPARISONS if one.table == table)


def invariance_claim(title: str, history: pd.DataFrame) -> Claim:
    """Figure 5's claim, judged by the last condition vectors of a run long enough to tell."""
    last = history.iloc[-1]
    within, between, steps = last["cosine_person"], last["cosine_people"], int(last["step"])
    status: Status = "supported" if within > INVARIANT else "not supported"
    if steps < FEWEST_STEPS:
        status = "cannot tell"
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
    return _weigh(text, gain, known["person"], "sets of views", seed)

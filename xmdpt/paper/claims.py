"""What the paper's sentences claim of the runs, and whether the scores bear it out."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.labels import METRICS
from xmdpt.paper.exhibits import Claim, Status
from xmdpt.paper.scores import FEWEST_STEPS, Checkpoint, Results

FEWEST_PEOPLE = 8
"""An interval over fewer is not to be trusted: a bootstrap cannot show people it has not seen."""
INVARIANT = 0.9999
"""Figure 5: the cosine within a person that the paper reports."""
APART = {
    "seed", "init", "resume", "checkpoints",
    "save_every", "log_every", "compile", "gradient_checkpointing",
}  # fmt: skip
"""Settings of `train` that make no comparison unfair, or that are looked at by themselves."""
ALIKE = {"checkpoints", "batch_size"}
"""Settings of `sample` that make no comparison unfair: pairs are compared that both drew."""
COPY = "copy_source"
"""The baseline that a run must beat before its score says anything of its design."""


@dataclass(frozen=True)
class Comparison:
    """A sentence of the paper that one run beats another in a metric of single pairs."""

    table: str
    text: str
    better: tuple[str, Checkpoint]
    worse: tuple[str, Checkpoint]
    metric: Literal["ssim", "lpips", "psnr"] = "lpips"


_B, _ABLATION, _MAIN = "base_b", "ablation", "main"
COMPARISONS = (
    Comparison("1", "X-MDPT-B beats X-MDPT-S early", (_B, _ABLATION), ("size_s", _ABLATION)),
    Comparison("1", "X-MDPT-B beats X-MDPT-S", (_B, _MAIN), ("size_s", _MAIN)),
    Comparison("1", "X-MDPT-L beats X-MDPT-B", ("size_l", _MAIN), (_B, _MAIN)),
    Comparison("1", "Longer training goes on to help", (_B, _MAIN), (_B, _ABLATION)),
    Comparison("1", "Longer training goes on to help", (_B, _MAIN), (_B, _ABLATION), "ssim"),
    Comparison("2a", "MIPNet beats the plain transformer", (_B, _ABLATION), ("no_mask", _ABLATION)),
    Comparison("2a", "MIPNet beats MDT's masking", (_B, _ABLATION), ("mdt", _ABLATION)),
    Comparison("2b", "Masking 70% beats 30%", ("mask_70", _ABLATION), (_B, _ABLATION)),
    Comparison("2b", "Masking 50% beats 30%", ("mask_50", _ABLATION), (_B, _ABLATION)),
    Comparison(
        "2d", "Cross-attention to the source beats none", ("attention_cross", _ABLATION),
        ("mdt", _ABLATION),
    ),
    Comparison(
        "2d", "Cross-self attention beats self-cross", ("attention_cross_self", _ABLATION),
        (_B, _ABLATION),
    ),
    Comparison(
        "2e", "Both source features beat the local one alone", (_B, _ABLATION),
        ("canet_local", _ABLATION),
    ),
    Comparison(
        "2e", "The global source feature beats the local one", ("canet_global", _ABLATION),
        ("canet_local", _ABLATION),
    ),
)  # fmt: skip
"""What the printed numbers say; FID has no value of a single pair, and so no interval."""


def judge(comparison: Comparison, results: Results) -> Claim:
    """Compare two runs on the pairs they share: is the 95 % interval of the gain clear of zero?

    The interval is a bootstrap over people. Clear above zero supports the claim, clear below
    refutes it; across zero, or where the comparison is not fair (`_doubts`), the run cannot tell.
    """
    key = results.metric(comparison.metric)
    text = f"{comparison.text} (Table {comparison.table}, {METRICS[key].label})"
    sides = [results.pairs(*comparison.better), results.pairs(*comparison.worse)]
    if any(side is None for side in sides):
        missing = [
            f"{run} ({checkpoint})"
            for side, (run, checkpoint) in zip(
                sides, (comparison.better, comparison.worse), strict=True
            )
            if side is None
        ]
        return Claim(
            text, "not run", f"{' and '.join(missing)} not among the runs of these settings"
        )
    joined = sides[0].merge(
        sides[1], left_index=True, right_index=True, suffixes=("_better", "_worse")
    )
    gain = (joined[f"{key}_better"] - joined[f"{key}_worse"]).dropna()  # what protocols drop
    gain = gain if METRICS[key].higher else -gain
    claim = _weigh(
        text, gain, joined.loc[gain.index, "person_better"], "pairs", results.config.seed
    )
    if doubts := _doubts(comparison, results) + _unproven(comparison, results, key):
        return Claim(text, "cannot tell", f"{claim.evidence}, but {' and '.join(doubts)}")
    return claim


def _doubts(comparison: Comparison, results: Results) -> list[str]:
    """Why a difference between two runs does not tell which design is better, if so."""
    sides = (comparison.better, comparison.worse)
    steps = [results.steps(*side) for side in sides]
    doubts = []
    if min(steps) < FEWEST_STEPS:
        doubts.append(f"{min(steps):,} steps are too few (below {FEWEST_STEPS:,})")
    (first, second) = (results.of_run(run) for run, _ in sides)
    if comparison.better[0] != comparison.worse[0] and len({*steps}) > 1:
        doubts.append(f"one was trained for {steps[0]:,} steps, the other for {steps[1]:,}")
    recipes = [config.train.model_dump(exclude=APART) for config in (first, second)]
    if unlike := [name for name, value in recipes[0].items() if recipes[1][name] != value]:
        doubts.append(f"they were trained with another {' and '.join(unlike)}")
    drawn = [config.sample.model_dump(exclude=ALIKE) for config in (first, second)]
    if unlike := [name for name, value in drawn[0].items() if drawn[1][name] != value]:
        doubts.append(f"they were drawn with another {' and '.join(unlike)}")
    if first.train.resume is not None or second.train.resume is not None:
        doubts.append("training went on from a state that other settings had left")
    if first.train.init != second.train.init:
        doubts.append("one of the two alone is warm-started, or from other weights")
    elif first.train.init is not None:
        learned = results.learned(first.train.init)
        one, other = first.model.model_dump(), second.model.model_dump()
        if changed := sorted(name for name in learned if one[name] != other[name]):
            doubts.append(
                f"both start from weights trained with one {' and '.join(changed)}, which another "
                "damages"
            )
    return doubts


def _unproven(comparison: Comparison, results: Results, key: str) -> list[str]:
    """Runs that a metric does not show to have learned anything, as a doubt."""
    weak = []
    for run, checkpoint in dict.fromkeys((comparison.better, comparison.worse)):
        against = results.rows(run)[checkpoint].get("against", {})
        if COPY in against and not against[COPY].get(key, (0,))[0] > 0:
            weak.append(run)
    verb = "draws" if len(weak) == 1 else "draw"
    told = f"{' and '.join(weak)} {verb} no better than a copy of the source"
    return [told] if weak else []


def _weigh(text: str, gain: pd.Series, people: pd.Series, unit: str, seed: int) -> Claim:
    """A claim that the mean gain is above zero, by its bootstrap interval over people."""
    low, high = bootstrap_interval(gain, seed, people)
    evidence = (
        f"gain {gain.mean():+.4f} ({low:+.4f} to {high:+.4f}) on {len(gain)} {unit} of "
        f"{people.nunique()} people"
    )
    if people.nunique() < FEWEST_PEOPLE:
        return Claim(text, "cannot tell", f"{evidence} (below {FEWEST_PEOPLE})")
    return Claim(text, _status(low, high), evidence)


def _status(low: float, high: float) -> Status:
    if low > 0:
        return "supported"
    return "not supported" if high < 0 else "cannot tell"


def claims(table: str, results: Results) -> tuple[Claim, ...]:
    """What a run says about all that a table claims."""
    return tuple(judge(one, results) for one in COMPARISONS if one.table == table)


def invariance_claim(title: str, history: pd.DataFrame) -> Claim:
    """What a run's last condition vectors say of Figure 5; short training tells nothing."""
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
    """What Figure 2 says: does another view matter less to a picture than another person does?

    `distances` has a row for each set of views: whose it is (`person`), the mean distance between
    the pictures drawn from them (`drawn`), and that to one of someone else (`others`).
    """
    known = distances.dropna(subset=["drawn", "others"])
    gain = known["others"] - known["drawn"]
    text = "Another view of a person changes a picture less than another person does (st_lpips)"
    return _weigh(text, gain, known["person"], "sets of views", seed)

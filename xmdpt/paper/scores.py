"""The runs' scores beside the paper's: Table 1, Tables 2(a) to 2(e), and what they claim."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from xmdpt.bootstrap import bootstrap_interval
from xmdpt.config import Config, ModelConfig, load_config
from xmdpt.labels import METRICS
from xmdpt.paper.exhibits import Claim, Status
from xmdpt.paper.published import Score, scores

Checkpoint = Literal["ablation", "main"]

STAND_INS = {
    "synthetic": {"fid": "fd_effnet", "lpips": "st_lpips"},
    "leffa": {"lpips": "lpips_squeeze"},
    "clean": {"fid": "clean_fid"},
}
"""Protocol -> the paper's metric -> what it has in its place; other protocols have them all."""
PRINTED = {"fid": "FID ↓", "ssim": "SSIM ↑", "lpips": "LPIPS ↓", "psnr": "PSNR ↑"}
NOT_PRINTED = {
    "2e": (
        ("sum in place of the MLP", "aggregation_add"),
        ("concatenation in place of the sum", "aggregation_concat"),
    )
}
"""Rows that the paper speaks of without printing numbers: table -> (method, run)."""
REFERENCE_ROWS = {"VAE reconstruction": "reconstruction", "Ground truth": "truth"}
_LIMITS_OF = {256: "base_b", 512: "size_l_512"}
"""The paper's picture size -> a run whose scores hold the reference rows at that size."""
FEATURES = {
    "features_s_s": ("dinov2-small", "dinov2-small"),
    "features_g_s": ("dinov2-giant", "dinov2-small"),
    "base_b": ("dinov2-giant", "dinov2-base"),
}
"""Table 2(c): the encoders of source and pose, by hub name or folder, whose row a run may fill."""
FEWEST_PEOPLE = 8
"""An interval over fewer is not to be trusted: a bootstrap cannot show people it has not seen."""
INVARIANT, INVARIANT_AFTER = 0.9999, 10_000
"""Figure 5: the cosine within a person that the paper reports, and the steps it gives."""
FEWEST_STEPS = INVARIANT_AFTER
"""A shorter training tells one model from another by its start and its seed, not by its design."""
MIPNET = {"mip_attention", "mask_ratio"}
"""Settings of `model` that touch MIPNet alone."""


@dataclass(frozen=True)
class Results:
    """What the stages `evaluate` and `train` left in reports/ beside the settings `params`."""

    params: str | Path = "params.yaml"

    @property
    def root(self) -> Path:
        """The folder of the settings, which all paths are relative to."""
        return Path(self.params).parent

    @cached_property
    def config(self) -> Config:
        return load_config(self.params)

    def of_run(self, run: str) -> Config:
        """The settings of a run."""
        return load_config(self.params, run=run)

    def rows(self, run: str) -> dict[str, dict[str, Any]]:
        """Row (a checkpoint, baseline or limit) -> metric -> value; empty if not carried out."""
        path = self.root / f"reports/scores/{run}.json"
        carried_out = run in self.config.runs and path.is_file()
        return json.loads(path.read_text()) if carried_out else {}

    def pairs(self, run: str, checkpoint: Checkpoint) -> pd.DataFrame | None:
        """The metrics of single pairs, by source and target; None if not carried out."""
        path = self.root / f"reports/scores/{run}.tsv"
        if run not in self.config.runs or not path.is_file():
            return None
        table = pd.read_csv(path, sep="\t", dtype={"person": str})
        table = table[table["row"] == checkpoint]
        return table.set_index(["source", "target"]) if len(table) else None

    def history(self, run: str) -> pd.DataFrame | None:
        """Losses and cosines along a run's training; None if not carried out."""
        path = self.root / f"reports/metrics/train_{run}.tsv"
        carried_out = run in self.config.runs and path.is_file()
        return pd.read_csv(path, sep="\t") if carried_out else None

    def metric(self, name: str) -> str:
        """What the protocol has for the paper's metric: itself, a variant, or a stand-in."""
        return STAND_INS.get(self.config.evaluate.protocol, {}).get(name, name)

    def steps(self, run: str, checkpoint: Checkpoint) -> int | None:
        """Training steps behind a run's checkpoint, where the run has it."""
        return self.of_run(run).train.checkpoints.get(checkpoint)

    def learned(self, init: str) -> set[str]:
        """The settings of `model` whose weights a run that starts from `init` finds trained.

        That is all but MIPNet's where `init` was trained without it, and each run adds it fresh.
        """
        path = self.root / init / "config.json"
        trained = json.loads(path.read_text())["mip_attention"] if path.is_file() else None
        return set(ModelConfig.model_fields) - (MIPNET if trained == "none" else set())

    @property
    def networks(self) -> str:
        """The base model and what makes its tokens, in words."""
        source, pose = self.config.features.source_encoder, self.config.features.pose_encoder
        depth, width = self.config.model.depth, self.config.model.hidden_size
        small = "" if width >= 768 else " (the paper's B: 12 of 768; S and L are smaller likewise)"
        tokens = f"tokens of the source by {source}, of the pose by {pose}"
        return f"base model of {depth} blocks of width {width}{small}, {tokens}"

    @property
    def data(self) -> str:
        """What our numbers were computed on, in words."""
        if self.config.data.rendered:
            return "rendered people (no DeepFashion), profile " + self.config.profile
        return f"{self.config.data.root}, profile {self.config.profile}"


def _pair_counts(results: Results, runs: Sequence[str], checkpoints: Sequence[Checkpoint]) -> str:
    """How many test pairs the rows of some runs are means over, in words."""
    counts: dict[str, set[int]] = {}
    for checkpoint in checkpoints:
        rows = [results.rows(run).get(checkpoint) for run in runs]
        if found := {int(row["count"]) for row in rows if row is not None}:
            counts[checkpoint] = found
    distinct = set().union(*counts.values())
    if len(distinct) < 2:
        return f"{max(distinct, default=0)} test pairs a row"
    listed = ", ".join(
        f"{' or '.join(map(str, sorted(found)))} at {name}" for name, found in counts.items()
    )
    return (
        f"test pairs a row: {listed}; a Fréchet distance falls with the number of pictures, and "
        "compares only between rows of the same number"
    )


def provenance(results: Results, runs: Sequence[str], checkpoints: Sequence[Checkpoint]) -> str:
    """A sentence on data, metrics, pairs, steps and starting weights of the runs named."""
    done = [run for run in runs if results.rows(run)]
    if not done:
        return f"Ours: none of these runs is carried out by the profile {results.config.profile}."
    starts = {results.of_run(run).train.init for run in done}
    parts = [
        f"Ours: {results.data}, {results.config.data.size}x{results.config.data.size} pixels, "
        f"{results.networks}, protocol {results.config.evaluate.protocol}, "
        f"seed {results.config.seed}, {_pair_counts(results, done, checkpoints)}."
    ]
    if results.config.evaluate.protocol == "synthetic":
        parts.append("fd_effnet is not FID and st_lpips not LPIPS: no number compares with theirs.")
    elif results.config.data.rendered:
        parts.append("No number on rendered people compares with theirs.")
    if starts - {None}:
        scratch = [run for run in done if results.of_run(run).train.init is None]
        parts.append(
            f"Warm-started from {', '.join(sorted(starts - {None}))}"
            + (f", but from scratch: {', '.join(scratch)}" if scratch else "")
            + ". After so few steps most differences are noise."
        )
    if results.config.evaluate.protocol not in ("pidm", "synthetic"):
        parts.append("Our rules are not the paper's.")
    theirs = "DeepFashion, 8,570 pairs, PIDM's protocol (at 512x512 it does not say which)"
    return " ".join(parts) + f" The paper's: {theirs}."


def training_in_words(results: Results, runs: Sequence[str]) -> str:
    """A sentence on how long each run was trained up to its checkpoints, and from what."""
    parts = []
    for run in runs:
        train = results.of_run(run).train
        steps = " and ".join(f"{count:,}" for count in sorted(train.checkpoints.values()))
        start = "from scratch" if train.init is None else "from the weights of train.init"
        if train.resume is not None:
            start += ", in part with other settings (train.resume)"
        parts.append(f"{results.config.experiments[run].title} {steps} {start}")
    return f"Training steps: {', '.join(parts)}." if parts else ""


def _checkpoint(row: Score) -> Checkpoint:
    """Which of our two checkpoints answers a printed row."""
    if row.table != "1":
        return "ablation"
    same = [other.steps for other in scores() if (other.table, other.run) == ("1", row.run)]
    return "ablation" if row.steps == min(same) else "main"


def _has_features(row: Score, config: Config) -> bool:
    """Whether the profile's encoders are those that a row of Table 2(c) is about."""
    names = (config.features.source_encoder, config.features.pose_encoder)
    return row.table != "2c" or tuple(Path(name).name for name in names) == FEATURES[row.run]


def _cell(value: float | None, metric: str) -> str | None:
    return None if value is None else f"{value:.{METRICS[metric].decimals}f}"


def _ours(results: Results, run: str | None, name: str | None, steps: int | None) -> dict[str, Any]:
    """Our half of a row; empty cells where there is nothing."""
    row = results.rows(run).get(name, {}) if run and name else {}
    cells: dict[str, Any] = {"our steps": f"{steps:,}" if row and steps else None}
    cells["our pairs"] = f"{row['count']:,.0f}" if row else None
    for printed in PRINTED:
        key = results.metric(printed)
        heading = f"{METRICS[key].label} {'↑' if METRICS[key].higher else '↓'}"
        cells[f"our {heading}"] = _cell(row.get(key), key)
    return cells


def _paper(row: Score) -> dict[str, Any]:
    cells = {"method": row.method, "paper's steps": f"{row.steps:,}" if row.steps else None}
    values = {name: getattr(row, name) for name in PRINTED}
    return cells | {f"paper's {PRINTED[name]}": value for name, value in values.items()}


def score_table(table: str, results: Results, size: int = 256) -> pd.DataFrame:
    """A table of the paper at a picture size, each printed row beside ours.

    Cells are text as printed, and None where the paper or the profile has no number. A column has
    the number of our test pairs where rows differ in it.
    """
    rows = []
    for row in scores():
        if (row.table, row.size) != (table, size):
            continue
        if row.method in REFERENCE_ROWS:
            ours = _ours(results, _LIMITS_OF[size], REFERENCE_ROWS[row.method], None)
        elif row.run is not None and results.rows(row.run) and _has_features(row, results.config):
            name = _checkpoint(row)
            ours = _ours(results, row.run, name, results.steps(row.run, name))
        else:
            ours = _ours(results, None, None, None)
        rows.append(_paper(row) | ours)
    for method, run in NOT_PRINTED.get(table, ()):
        if results.rows(run):
            ours = _ours(results, run, "ablation", results.steps(run, "ablation"))
            rows.append({"method": method} | ours)
    frame = pd.DataFrame(rows)
    if frame["our pairs"].nunique() < 2:
        frame = frame.drop(columns="our pairs")
    return frame.astype(object).where(frame.notna(), None).dropna(axis=1, how="all")


# Claims


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
        profile = results.config.profile
        return Claim(text, "not run", f"{' and '.join(missing)} not in the profile {profile}")
    joined = sides[0].merge(
        sides[1], left_index=True, right_index=True, suffixes=("_better", "_worse")
    )
    gain = (joined[f"{key}_better"] - joined[f"{key}_worse"]).dropna()  # what protocols drop
    gain = gain if METRICS[key].higher else -gain
    claim = _weigh(
        text, gain, joined.loc[gain.index, "person_better"], "pairs", results.config.seed
    )
    if doubts := _doubts(comparison, results):
        return Claim(text, "cannot tell", f"{claim.evidence}, but {' and '.join(doubts)}")
    return claim


def _doubts(comparison: Comparison, results: Results) -> list[str]:
    """Why a difference between two runs does not tell which design is better, if so."""
    sides = (comparison.better, comparison.worse)
    steps = min(results.steps(*side) for side in sides)
    doubts = []
    if steps < FEWEST_STEPS:
        doubts.append(f"{steps:,} steps are too few (below {FEWEST_STEPS:,})")
    (first, second) = (results.of_run(run) for run, _ in sides)
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
    if steps < INVARIANT_AFTER:
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

"""The runs' scores beside the paper's: Table 1 and Tables 2(a) to 2(e)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from xmdpt.config import Config, ModelConfig, load_config
from xmdpt.metrics.labels import METRICS, TEXT
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
FEWEST_STEPS = 10_000
"""A shorter training tells one model from another by its start and its seed, not by its design."""
REFERENCE_ROWS = {"VAE reconstruction": "reconstruction", "Ground truth": "truth"}
FEATURES = {
    "features_s_s": ("dinov2-small", "dinov2-small"),
    "features_g_s": ("dinov2-giant", "dinov2-small"),
    "base_b": ("dinov2-giant", "dinov2-base"),
}
"""Table 2(c): the encoders of source and pose, by hub name or folder, whose row a run may fill."""
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
        table = pd.read_csv(path, sep="\t", dtype=TEXT)
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

    def seeds(self, runs: Sequence[str]) -> str:
        """The profile's seed and, where they are others, those of the runs' training, in words."""
        own = sorted({self.of_run(run).training_seed for run in runs} - {self.config.seed})
        trained = f" (of training also {', '.join(map(str, own))})" if own else ""
        return f"seed {self.config.seed}{trained}"

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
        f"{results.seeds(done)}, {_pair_counts(results, done, checkpoints)}."
    ]
    if results.config.evaluate.protocol == "synthetic":
        parts.append("fd_effnet is not FID and st_lpips not LPIPS: no number compares with theirs.")
    elif results.config.data.rendered:
        parts.append("No number on rendered people compares with theirs.")
    if starts - {None}:
        scratch = [run for run in done if results.of_run(run).train.init is None]
        parts.append(
            f"Warm-started from {', '.join(sorted(starts - {None}))}"
            + (f", but from scratch: {', '.join(scratch)}." if scratch else ".")
        )
    if min(min(results.of_run(run).train.checkpoints.values()) for run in done) < FEWEST_STEPS:
        parts.append("After so few steps most differences are noise.")
    if results.config.evaluate.protocol not in ("pidm", "synthetic"):
        parts.append("Our rules are not the paper's.")
    theirs = "DeepFashion, 8,570 pairs, PIDM's protocol (at 512x512 it does not say which)"
    return " ".join(parts) + f" The paper's: {theirs}."


def training_in_words(results: Results, runs: Sequence[str]) -> str:
    """A sentence on how long each run that the settings carry out was trained, and from what."""
    parts = []
    for run in (run for run in runs if run in results.config.runs):
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


def _limits_run(results: Results, size: int) -> str | None:
    """A run whose scores hold the reference rows at the paper's picture size."""
    at_size = [run for run in results.config.runs if (run == "size_l_512") == (size == 512)]
    return next((run for run in at_size if results.rows(run)), None)


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
            ours = _ours(results, _limits_run(results, size), REFERENCE_ROWS[row.method], None)
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

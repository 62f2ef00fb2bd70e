"""Our runs' scores beside the paper's: Table 1 and Tables 2(a) to 2(e)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from xmdpt.config import Checkpoint, Config, Objective, load_config
from xmdpt.metrics.labels import AS_WRITTEN, FEW, FEW_ABOUT, METRICS
from xmdpt.paper.published import Score, scores
from xmdpt.support.files import read_json

STAND_INS = {
    "synthetic": {"fid": "fd_effnet", "lpips": "st_lpips"},
    "leffa": {"lpips": "lpips_squeeze"},
    "clean": {"fid": "clean_fid"},
}
"""Protocol -> the paper's metric -> the metric in its place; other protocols have the paper's."""
PRINTED = {"fid": "FID ↓", "ssim": "SSIM ↑", "lpips": "LPIPS ↓", "psnr": "PSNR ↑"}
NOT_PRINTED = {
    "2e": (
        ("sum in place of the MLP", "aggregation_add"),
        ("concatenation in place of the sum", "aggregation_concat"),
    )
}
"""Table -> (method, run) of designs that the paper mentions without printing numbers."""
REFERENCE_ROWS = {"VAE reconstruction": "reconstruction", "Ground truth": "truth"}
FEATURES = {
    "features_s_s": ("dinov2-small", "dinov2-small"),
    "features_g_s": ("dinov2-giant", "dinov2-small"),
    "base_b": ("dinov2-giant", "dinov2-base"),
}
"""Run of Table 2(c) -> names of the source and pose encoders (hub name or folder) it needs."""
MIPNET = {"mip_attention", "mask_ratio"}
"""Settings of `model` that affect MIPNet only."""
SOLVERS: dict[Objective, str] = {"epsilon": "DDIM", "flow": "DPM-Solver++"}
"""Objective -> what draws after a training with it: `presets.scheduler_for`, in words."""


def tables_with(run: str) -> list[str]:
    """The exhibits, Table 1 and Tables 2(a) to 2(e), that have a row of the run, in order."""
    printed = {row.table for row in scores() if row.run == run}
    added = {table for table, rows in NOT_PRINTED.items() if run in {name for _, name in rows}}
    return [f"table_{table}" for table in sorted(printed | added)]


@dataclass(frozen=True)
class Results:
    """What the stages `train` and `evaluate` wrote to reports/, beside the settings `params`.

    Only runs that the settings list are shown: files of other runs may be left from before.
    """

    params: str | Path = "params.yaml"

    @property
    def root(self) -> Path:
        """The folder of the settings, which all paths are relative to."""
        return Path(self.params).parent

    @cached_property
    def config(self) -> Config:
        """The settings that all runs share."""
        return load_config(self.params)

    def of_run(self, run: str) -> Config:
        """The settings of a run."""
        return load_config(self.params, run=run)

    def _report(self, run: str, name: str) -> Path | None:
        """The file reports/`name`; None if the run is not listed or not finished."""
        path = self.root / "reports" / name
        return path if run in self.config.runs and path.is_file() else None

    def rows(self, run: str) -> dict[str, dict[str, Any]]:
        """Row (a checkpoint, baseline or limit) -> metric -> value; empty if there is no report."""
        path = self._report(run, f"scores/{run}.json")
        rows: dict[str, dict[str, Any]] = (
            read_json(path, f"run the stage evaluate@{run} again") if path else {}
        )
        return rows

    def pairs(self, run: str, checkpoint: Checkpoint) -> pd.DataFrame | None:
        """The metrics of each pair, indexed by source and target; None if there are none."""
        path = self._report(run, f"scores/{run}.tsv")
        if path is None:
            return None
        table = pd.read_csv(path, **AS_WRITTEN)
        table = table[table["row"] == checkpoint]
        return table.set_index(["source", "target"]) if len(table) else None

    def history(self, run: str) -> pd.DataFrame | None:
        """Losses and cosines over a run's training; None if there is no report."""
        path = self._report(run, f"metrics/train_{run}.tsv")
        return pd.read_csv(path, sep="\t") if path else None

    def metric(self, name: str) -> str:
        """The protocol's counterpart of a metric in the paper: itself, a variant or a stand-in."""
        return STAND_INS.get(self.config.evaluate.protocol, {}).get(name, name)

    def steps(self, run: str, checkpoint: Checkpoint) -> int | None:
        """Training steps of a run's checkpoint; None if the run does not keep it."""
        return self.of_run(run).train.checkpoints.get(checkpoint)

    def seeds(self, runs: Sequence[str]) -> str:
        """The profile's seed and, where they differ, the runs' training seeds, in words."""
        own = sorted({self.of_run(run).training_seed for run in runs} - {self.config.seed})
        trained = f" (of training also {', '.join(map(str, own))})" if own else ""
        return f"seed {self.config.seed}{trained}"

    def untrained(self, init: str) -> set[str]:
        """The settings of `model` whose weights are not in `init`, so that each run adds them new.

        These are MIPNet's if `init` was trained without it.
        """
        path = self.root / init / "config.json"
        if not path.is_file():
            return set()
        trained = read_json(path, "copy the weights again")["mip_attention"]
        return MIPNET if trained == "none" else set()

    @property
    def networks(self) -> str:
        """The base model and its token encoders, in words."""
        source, pose = self.config.features.source_encoder, self.config.features.pose_encoder
        depth, width = self.config.model.depth, self.config.model.hidden_size
        small = "" if width >= 768 else " (the paper's B: 12 of 768; S and L are smaller likewise)"
        tokens = f"tokens of the source by {source}, of the pose by {pose}"
        return f"base model of {depth} blocks of width {width}{small}, {tokens}"

    @property
    def data(self) -> str:
        """The data behind our numbers, in words."""
        if self.config.data.rendered:
            return "rendered people (no DeepFashion), profile " + self.config.profile
        return f"{self.config.data.root}, profile {self.config.profile}"


def leading_run(params: str | Path) -> tuple[str, str, Config]:
    """The first run of the settings `params`, which is X-MDPT-B in most profiles.

    Returns its name, the last of its checkpoints that draws pictures, and its settings.
    """
    run = load_config(params).runs[0]
    config = load_config(params, run)
    return run, config.last_checkpoint, config


def _pair_counts(results: Results, runs: Sequence[str], checkpoints: Sequence[Checkpoint]) -> str:
    """How many test pairs the runs' scores are averaged over, in words."""
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
    """A few sentences on the data, metrics, pairs, steps and starting weights of the runs."""
    done = [run for run in runs if results.rows(run)]
    if not done:
        return f"Ours: none of these runs is carried out by the profile {results.config.profile}."
    training = {run: results.of_run(run).train for run in done}
    parts = [
        f"Ours: {results.data}, {results.config.data.size}x{results.config.data.size} pixels, "
        f"{results.networks}, protocol {results.config.evaluate.protocol}, "
        f"{results.seeds(done)}, {_pair_counts(results, done, checkpoints)}."
    ]
    if results.config.evaluate.protocol == "synthetic":
        parts.append("fd_effnet is not FID and st_lpips not LPIPS: no number compares with theirs.")
    elif results.config.data.rendered:
        parts.append("No number on rendered people compares with theirs.")
    if any("few" in row for run in done for row in results.rows(run).values()):
        parts.append(f"{FEW_ABOUT}.")
    if any(run in results.config.released for run in done):
        parts.append(
            "Weights: the authors' published ones, which nobody trained here; for S, B and L their "
            "README gives FID 7.42, 6.72 and 6.60."
        )
    if starts := sorted({train.init for train in training.values() if train.init is not None}):
        scratch = [run for run, train in training.items() if train.init is None]
        parts.append(
            f"Warm-started from {', '.join(starts)}"
            + (f", but from scratch: {', '.join(scratch)}." if scratch else ".")
        )
    if results.config.evaluate.protocol not in ("pidm", "synthetic"):
        parts.append("Our rules are not the paper's.")
    theirs = "DeepFashion, 8,570 pairs, PIDM's protocol (at 512x512 it does not say which)"
    return " ".join(parts) + f" The paper's: {theirs}."


def drawing_in_words(config: Config) -> str:
    """How test pairs are drawn, as in "50 steps of DDIM"."""
    return f"{config.sample.num_inference_steps} steps of {SOLVERS[config.train.objective]}"


def training_in_words(results: Results, runs: Sequence[str]) -> str:
    """A sentence on the training length and starting weights of each run that is listed."""
    parts = []
    for run in (run for run in runs if run in results.config.runs):
        train = results.of_run(run).train
        steps = " and ".join(f"{count:,}" for count in sorted(train.checkpoints.values()))
        if run in results.config.released:
            parts.append(f"{results.config.experiments[run].title} {steps} by the authors")
            continue
        start = "from scratch" if train.init is None else "from the weights of train.init"
        if train.resume is not None:
            start += ", in part with other settings (train.resume)"
        parts.append(f"{results.config.experiments[run].title} {steps} {start}")
    return f"Training steps: {', '.join(parts)}." if parts else ""


def _checkpoint(row: Score) -> Checkpoint:
    """Which of our two checkpoints corresponds to a printed row."""
    if row.table != "1":
        return "ablation"
    steps = [other.steps or 0 for other in scores() if (other.table, other.run) == ("1", row.run)]
    return "ablation" if row.steps == min(steps) else "main"


def _has_features(run: str, row: Score, config: Config) -> bool:
    """Whether the profile uses the encoders that a row of Table 2(c) is about."""
    names = (config.features.source_encoder, config.features.pose_encoder)
    return row.table != "2c" or tuple(Path(name).name for name in names) == FEATURES[run]


def heading(metric: str) -> str:
    """A metric's label, with an arrow that points to the better end."""
    return f"{METRICS[metric].label}{METRICS[metric].arrow}"


def score_text(row: Mapping[str, Any], metric: str) -> str | None:
    """A metric of a row of scores, rounded and marked as tables show it; None without one."""
    value = row.get(metric)
    if value is None:
        return None
    text = f"{value:.{METRICS[metric].decimals}f}"
    return f"{text} {FEW}" if metric in row.get("few", {}) else text


def _ours(
    results: Results, run: str | None, name: str | None, steps: int | None = None
) -> dict[str, str | None]:
    """Our half of a row; cells are None where there is no number."""
    row = results.rows(run).get(name, {}) if run and name else {}
    cells = {"our steps": f"{steps:,}" if row and steps else None}
    cells["our pairs"] = f"{row['count']:,.0f}" if row else None
    for printed in PRINTED:
        key = results.metric(printed)
        cells[f"our {heading(key)}"] = score_text(row, key)
    return cells


def _limits_run(results: Results, size: int) -> str | None:
    """A run that has scores of the reference rows at the paper's picture size."""
    at_size = [run for run in results.config.runs if (run == "size_l_512") == (size == 512)]
    return next((run for run in at_size if results.rows(run)), None)


def _paper(row: Score) -> dict[str, Any]:
    cells = {"method": row.method, "paper's steps": f"{row.steps:,}" if row.steps else None}
    values = {name: getattr(row, name) for name in PRINTED}
    return cells | {f"paper's {PRINTED[name]}": value for name, value in values.items()}


def score_table(table: str, results: Results, size: int = 256) -> pd.DataFrame:
    """A table of the paper at one picture size, with our numbers beside each printed row.

    Cells are None where the paper or the profile has no number. If rows differ in their number of
    test pairs, a column shows it.
    """
    rows = []
    for row in scores():
        if (row.table, row.size) != (table, size):
            continue
        if row.method in REFERENCE_ROWS:
            ours = _ours(results, _limits_run(results, size), REFERENCE_ROWS[row.method])
        elif row.run and results.rows(row.run) and _has_features(row.run, row, results.config):
            name = _checkpoint(row)
            ours = _ours(results, row.run, name, results.steps(row.run, name))
        else:
            ours = _ours(results, None, None)
        rows.append(_paper(row) | ours)
    for method, run in NOT_PRINTED.get(table, ()):
        if results.rows(run):
            ours = _ours(results, run, "ablation", results.steps(run, "ablation"))
            rows.append({"method": method} | ours)
    frame = pd.DataFrame(rows)
    if frame["our pairs"].nunique() < 2:
        frame = frame.drop(columns="our pairs")
    return frame.astype(object).where(frame.notna(), None).dropna(axis=1, how="all")

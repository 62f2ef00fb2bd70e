"""Reports of runs, as the stage `evaluate` leaves them, beside their settings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from helpers.repository import ROOT
from xmdpt.paper.scores import Results

TWICE_READ = {"train": {"checkpoints": {"ablation": 10_000, "main": 20_000}}}
"""As in the paper's profile: one training, read early and late."""


def results_of(folder: Path, profile: str = "synthetic", **changes: Any) -> Results:
    """Results in an empty folder, with the settings of a profile, or changed ones."""
    params = folder / "params.yaml"
    params.write_text((ROOT / f"profiles/{profile}.yaml").read_text())
    return with_settings(Results(params), **changes)


def with_settings(results: Results, **changes: Any) -> Results:
    """Write changed settings, a nested mapping each, over those of `results`, and read them."""
    settings = yaml.safe_load(Path(results.params).read_text())
    Path(results.params).write_text(yaml.safe_dump(_merged(settings, changes)))
    return Results(results.params)


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {name: _merged(old.get(name), value) for name, value in new.items()}


def write_scores(
    results: Results, run: str, st_lpips: np.ndarray, ssim: float = 0.7, row: str = "ablation"
) -> None:
    """Scores of a run: two pairs of each person."""
    pairs = pd.DataFrame(
        {
            "row": row,
            "source": [f"source{n}" for n in range(len(st_lpips))],
            "target": [f"target{n}" for n in range(len(st_lpips))],
            "person": [f"{n // 2:03d}" for n in range(len(st_lpips))],
            "st_lpips": st_lpips,
            "ssim": ssim,
        }
    )
    scores = results.root / "reports/scores"
    scores.mkdir(parents=True, exist_ok=True)
    pairs.to_csv(scores / f"{run}.tsv", sep="\t", index=False)
    values = {"st_lpips": float(st_lpips.mean()), "ssim": ssim, "count": float(len(pairs))}
    rows = {row: values, "truth": {"fd_effnet": 24.0, "count": 40.0}}
    (scores / f"{run}.json").write_text(json.dumps(rows))

"""The curves of the report page: what each training logged, for `report.js` to draw."""

from pathlib import Path
from typing import Any

from xmdpt.config import Config
from xmdpt.paper.scores import Results

LABELS = {
    "loss": "loss of the full pass",
    "masked_loss": "loss of the masked pass",
    "mse": "squared error of the full pass",
    "masked_mse": "squared error of the masked pass",
    "mse_q0": "squared error, full pass, t in 0..249",
    "mse_q1": "squared error, full pass, t in 250..499",
    "mse_q2": "squared error, full pass, t in 500..749",
    "mse_q3": "squared error, full pass, t in 750..999",
    "fixed_mse": "squared error on fixed test pairs and noise",
    "fixed_masked_mse": "squared error on fixed test pairs and noise, masked pass",
    "vb": "variational bound of the full pass",
    "masked_vb": "variational bound of the masked pass",
    "alignment": "alignment with the pose",
    "grad_norm": "norm of the gradient",
    "weight_norm": "norm of the weights",
    "learning_rate": "learning rate",
    "cosine_person": "cosine of condition vectors, views of one person",
    "cosine_people": "cosine of condition vectors, different people",
}
"""Column of a history -> what it is, in the order of the page's list."""
LINEAR = {"learning_rate", "weight_norm", "cosine_person", "cosine_people"}
"""Columns that no logarithm makes easier to read."""


def training_curves(root: Path, config: Config) -> dict[str, Any]:
    """What can be shown, and each run's curves: key -> values at its `step`."""
    results, runs = Results(root / "params.yaml"), []
    for run in config.runs:
        history = results.history(run)
        if history is None:
            continue
        known = history[[name for name in history if name == "step" or name in LABELS]]
        values = known.astype(object).where(known.notna(), None)
        title = config.experiments[run].title
        runs.append({"name": run, "title": title, "values": values.to_dict("list")})
    shown = [key for key in LABELS if any(key in run["values"] for run in runs)]
    quantities = [{"key": key, "label": LABELS[key], "log": key not in LINEAR} for key in shown]
    return {"quantities": quantities, "runs": runs}

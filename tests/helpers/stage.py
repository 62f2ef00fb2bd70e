"""`python -m helpers.stage STAGE RUN`: what the notebook of a stage of a run does, in short."""

import sys
from pathlib import Path

from xmdpt.config import load_config
from xmdpt.evaluation.shards import row_store
from xmdpt.evaluation.summary import summarise
from xmdpt.stages.ahead import draw_one, train_one
from xmdpt.support.files import write_json
from xmdpt.weights.runs import SAMPLES


def train(run: str) -> None:
    """Train, and note how many rows of the history were new."""
    steps: list[float] = []
    train_one(run, on_log=lambda row: steps.append(row["step"]))
    Path(f"{run}.steps").write_text(str(len(steps)))


def evaluate(run: str) -> None:
    """Score what was drawn."""
    root, rules = load_config().data.root, load_config().evaluate.protocol
    store = row_store(run)
    folders = {"main": SAMPLES / run / "main"}
    scores, _ = summarise(folders, root, root, rules, 0, store=store, progress=False)
    write_json(f"reports/scores/{run}.json", scores)


if __name__ == "__main__":
    stage, run = sys.argv[1:]
    {"train": train, "sample": draw_one, "evaluate": evaluate}[stage](run)

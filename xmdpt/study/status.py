"""How far the study is, as text."""

from pathlib import Path
from typing import Any

from xmdpt.study.design import Design
from xmdpt.study.findings import whole
from xmdpt.study.scores import file_name, read_drawing
from xmdpt.study.verdicts import LEARNED
from xmdpt.study.workers import Run, all_runs


def of_run(run: Run, out: Path) -> str:
    """One line on a finished run."""
    drawing = read_drawing(out / file_name(run.row, run.seed))
    distance = whole(drawing, LEARNED)
    return f"{run}: {LEARNED} {distance:.4f}, {drawing['minutes']} core-minutes of training"


def collect(design: Design, out: Path) -> dict[str, Any]:
    """Each run of the study, with its mean distance and core-minutes, None where unfinished."""
    runs = []
    for run in all_runs(design):
        path = out / file_name(run.row, run.seed)
        drawing = read_drawing(path) if path.is_file() else None
        runs.append({
            "row": run.row,
            "seed": run.seed,
            "finished": drawing is not None,
            LEARNED: drawing and whole(drawing, LEARNED),
            "core_minutes": drawing and drawing["minutes"],
        })  # fmt: skip
    return {"folder": str(out), "seeds": design.seeds, "runs": runs}


def as_text(found: dict[str, Any]) -> str:
    """`collect()` for people to read: a line for each row, a column for each seed, and a sum."""
    runs, seeds = found["runs"], found["seeds"]
    width = max(len(run["row"]) for run in runs)
    lines = [f"{LEARNED} of the runs in {found['folder']}, by seed", ""]
    lines += [" " * width + "".join(f"{seed:>8}" for seed in seeds)]
    cells = {
        (run["row"], run["seed"]): f"{run[LEARNED]:8.4f}" if run["finished"] else f"{'-':>8}"
        for run in runs
    }
    for row in dict.fromkeys(run["row"] for run in runs):
        lines.append(f"{row:{width}}{''.join(cells[row, seed] for seed in seeds)}")
    minutes = [run["core_minutes"] for run in runs if run["finished"]]
    total = f"{len(minutes)} of {len(runs)} runs, {sum(minutes) / 60:.1f} core-hours of training"
    return "\n".join([*lines, "", total])

"""How far the study is, as text."""

from pathlib import Path

import numpy as np

from xmdpt.study.design import Design
from xmdpt.study.scores import file_name, read_drawing
from xmdpt.study.verdicts import LEARNED
from xmdpt.study.workers import Run, all_runs


def of_run(run: Run, out: Path) -> str:
    """One line on a finished run."""
    drawing = read_drawing(out / file_name(run.row, run.seed))
    distance = np.mean(drawing["means"][LEARNED])
    return f"{run}: {LEARNED} {distance:.4f}, {drawing['minutes']} core-minutes of training"


def as_text(design: Design, out: Path) -> str:
    """A line for each row with the mean distance of each seed that is finished, and a sum."""
    runs = all_runs(design)
    width = max(len(run.row) for run in runs)
    lines = [f"{LEARNED} of the runs in {out}, by seed", ""]
    lines += [" " * width + "".join(f"{seed:>8}" for seed in design.seeds)]
    minutes, finished = 0.0, 0
    for row in dict.fromkeys(run.row for run in runs):
        cells = []
        for seed in design.seeds:
            path = out / file_name(row, seed)
            if path.is_file():
                drawing = read_drawing(path)
                minutes, finished = minutes + drawing["minutes"], finished + 1
                cells.append(f"{np.mean(drawing['means'][LEARNED]):8.4f}")
            else:
                cells.append(f"{'-':>8}")
        lines.append(f"{row:{width}}{''.join(cells)}")
    return "\n".join(
        [*lines, "", f"{finished} of {len(runs)} runs, {minutes / 60:.1f} core-hours of training"]
    )

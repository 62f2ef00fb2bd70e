"""Faults put into the stages at tiny size, and a table of what was lost.

docs/reproduce/reliability.md holds what came of it.

    python benchmarks/faults.py --trials 30 --out build/faults.md

The trials follow from the seed. Full and read-only disks are small tmpfs, which takes the right to
mount (root, or `unshare --map-root-user --mount`).
"""

import argparse
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.faults import Trial

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def table(done: list["Trial"]) -> str:
    """Markdown: fault, stage, trials, survived, lost."""
    lines = ["| fault | stage | trials | survived | lost |", "|---|---|---|---|---|"]
    counts = Counter((trial.fault, trial.stage) for trial in done)
    for (fault, stage), count in sorted(counts.items()):
        survived = sum(t.survived for t in done if (t.fault, t.stage) == (fault, stage))
        lines.append(f"| {fault} | {stage} | {count} | {survived} | {count - survived} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Carry out the trials; exit code 1 where anything was lost."""
    # Here, since each process that renders imports this file, and would wait for what they import.
    from helpers.faults import FAULTS, MOUNTING, can_mount, trials
    from helpers.small_stages import in_child, make_world

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30, help="of each fault, in each stage")
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=[*FAULTS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the table as Markdown")
    asked = parser.parse_args()
    done: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        in_child(partial(make_world, world))
        faults = [fault for fault in asked.faults if fault not in MOUNTING or can_mount(world)]
        if left := [fault for fault in asked.faults if fault not in faults]:
            print(f"left out, since nothing can be mounted here: {', '.join(left)}")
        for trial in trials(world, faults, asked.trials, asked.seed):
            done.append(trial)
            if not trial.survived:
                print(f"{trial.fault}, {trial.stage}: {trial.outcome}", flush=True)
            if asked.out is not None:
                asked.out.parent.mkdir(parents=True, exist_ok=True)
                asked.out.write_text(table(done))
    print(table(done))
    sys.exit(not all(trial.survived for trial in done))


if __name__ == "__main__":
    main()

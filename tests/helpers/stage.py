"""`python -m helpers.stage RUN`: what the notebook of the stage `train` does, and how much."""

import sys
from pathlib import Path

from xmdpt.stages.ahead import train_one


def main(run: str) -> None:
    steps: list[float] = []
    train_one(run, on_log=lambda row: steps.append(row["step"]))
    Path(f"{run}.steps").write_text(str(len(steps)))


if __name__ == "__main__":
    main(sys.argv[1])

"""`python -m helpers.exhibit NAME OTHERS`: an exhibit that waits until others have begun."""

import sys
import time
from pathlib import Path

SECONDS = 300


def make(name: str, others: list[str]) -> None:
    """Fail as `bad`; else write the exhibit once all of the others are being made too."""
    if name == "bad":
        sys.exit("error: costs.json: a bad row")
    Path(f"{name}.begun").touch()
    end = time.monotonic() + SECONDS
    while not all(Path(f"{other}.begun").exists() for other in others):
        if time.monotonic() > end:
            sys.exit(f"{name}: alone for {SECONDS} s")
        time.sleep(0.1)
    folder = Path("reports/exhibits") / name
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text(Path("reports/costs.json").read_text() + name)


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2:])

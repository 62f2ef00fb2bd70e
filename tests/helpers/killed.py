"""`torchrun -m helpers.killed OUT STEP`: trains base_b, whose first process is killed at a step."""

import os
import signal
import sys

from xmdpt.config import load_config
from xmdpt.features.rows import SHARED
from xmdpt.training.run import train_run


def main(out: str, step: int) -> None:
    def on_log(row: dict[str, float]) -> None:
        if row["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    train_run(load_config(run="base_b"), SHARED, out, on_log)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""`torchrun -m helpers.killed OUT STEP [KIND RANK]`: trains base_b, one process of which ends.

At the step, process RANK (0) is killed, or stopped, or its main thread sleeps, or it gets a
scheduler's notice; `OUT`.time says when.
"""

import os
import signal
import sys
import time
from pathlib import Path

from xmdpt.config import load_config
from xmdpt.features.rows import SHARED
from xmdpt.support.ends import in_one_line
from xmdpt.training import train
from xmdpt.training.run import train_run

ENDS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "sleep": lambda: time.sleep(600),
    "notice": lambda: os.kill(os.getpid(), signal.SIGTERM),
}


def main(out: str, step: int, kind: str = "kill", rank: str = "0") -> None:
    draw = train.draw_batch

    def draw_until(*arguments: object, **others: object) -> train.Batch:
        if arguments[3] == step and os.environ["RANK"] == rank:
            Path(f"{out}.time").write_text(str(time.time()))
            ENDS[kind]()
        return draw(*arguments, **others)

    train.draw_batch = draw_until
    with in_one_line():
        train_run(load_config(run="base_b"), SHARED, out)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])

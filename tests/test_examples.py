"""The scripts for SLURM: what they ask to be run, with stand-ins for its commands."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.repository import ROOT

SCRIPTS = ROOT / "examples/slurm"
STAND_INS = {
    "python": 'echo "python $*" >> calls\nwhile [ -e busy ]; do sleep 0.1; done',
    "xmdpt": 'echo "xmdpt $*" >> calls',
    "scontrol": '[ "$1" = show ] && printf "node1\\nnode2\\n" || echo "scontrol $*" >> calls',
    "srun": '[ "$1" = --kill-on-bad-exit=1 ] && shift; exec "$@"',
}


@pytest.fixture
def place(tmp_path):
    """A folder with an environment of stand-ins, in which a job starts."""
    commands = tmp_path / ".venv/bin"
    commands.mkdir(parents=True)
    (commands / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n')
    for name, script in STAND_INS.items():
        (commands / name).write_text(f"#!/bin/bash\n{script}\n")
        (commands / name).chmod(0o755)
    return tmp_path


def job(place: Path, script: str, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(SCRIPTS / script), *words],
        cwd=place,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def calls(place: Path) -> list[str]:
    path = place / "calls"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(place: Path, count: int, job: subprocess.Popen[str]) -> None:
    """Wait until so many calls were made; the job may end right after the last of them."""
    while not (ended := job.poll() is not None) and len(calls(place)) < count:
        time.sleep(0.05)
    # Its words are not read: what it has started may still hold the pipe.
    assert not ended or len(calls(place)) >= count, f"it ended with {job.returncode}"


TWO_NODES = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2"}


def test_a_training_is_torchrun_on_every_machine(place):
    words = ("base_b", "weights/b", "--set", "train.precision=fp32")
    done = job(place, "train.sh", *words, **TWO_NODES, SLURM_GPUS_ON_NODE="8")
    assert done.wait() == 0, done.stderr.read()
    assert calls(place) == [
        "python -m torch.distributed.run --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d "
        "--rdzv-id 7-0 --rdzv-endpoint node1:29500 "
        "-m xmdpt train base_b --out weights/b --set train.precision=fp32"
    ]


def test_at_the_signal_it_is_queued_again(place):
    (place / "busy").touch()
    started = job(place, "train.sh", "base_b", "weights/b", **TWO_NODES)
    wait_for(place, 1, started)
    started.send_signal(signal.SIGUSR1)
    wait_for(place, 2, started)
    (place / "busy").unlink()
    started.wait()
    assert calls(place)[1] == "scontrol requeue 7"


@pytest.mark.parametrize("first", [0, 1])
def test_every_task_of_an_array_does_its_shard(place, first):
    for task in range(first, first + 3):
        environment = {
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_MIN": str(first),
            "SLURM_ARRAY_TASK_COUNT": "3",
        }
        assert job(place, "shards.sh", "sample", "base_b", **environment).wait() == 0
    assert calls(place) == [f"xmdpt stage sample base_b --shard {index}/3" for index in range(3)]


def test_what_is_not_given_is_asked_for(place):
    done = job(place, "train.sh", "base_b", **TWO_NODES)
    assert done.wait() != 0
    assert "needs a folder for its weights" in done.stderr.read()
    assert calls(place) == []

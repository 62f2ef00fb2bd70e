"""A module's `main` in several processes, started from a notebook, which shows what they report."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from xmdpt.support.cores import usable_cores
from xmdpt.support.notices import Stopped, notices
from xmdpt.training.errors import TrainingError

MARK = "report: "
"""Before each report among what a process prints."""


def report(*values: object) -> None:
    """Tell whoever started this process; the values must be JSON."""
    print(MARK + json.dumps(values), flush=True)


def in_processes(count: int, module: str, *words: str) -> Iterator[Any]:
    """Run `module` with these words under torchrun on this machine; yield what it reports.

    Raises TrainingError with the reason if one of the processes fails. A scheduler's notice is
    passed on to them, and Stopped raised once they have saved and ended.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), "-m", module, *words]
    with tempfile.TemporaryFile("w+") as errors:
        started = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment(count)
        )
        assert started.stdout is not None, "it is a pipe"
        with notices(lambda number: started.terminate()) as asked:
            try:
                for line in started.stdout:
                    if line.startswith(MARK):
                        yield json.loads(line.removeprefix(MARK))
                    else:
                        print(line, end="")
            finally:
                if sys.exception() is not None:  # this process is interrupted: they end with it
                    started.terminate()
                failed = started.wait()
            errors.seek(0)
            lines = errors.read().splitlines()
            if lines and not failed:
                print(*lines, sep="\n", file=sys.stderr)  # such as that a state was passed over
            if failed and asked():
                raise Stopped(_said(lines, "stopped: ") or "what was saved before is kept")
            if failed:
                reason = _said(lines, "error: ") or "\n".join(lines[-30:])
                raise TrainingError(f"{count} processes: {reason}")


def _environment(count: int) -> dict[str, str]:
    """Our cores, shared among the processes; torchrun would give each a single thread."""
    threads = max(1, len(usable_cores()) // count)
    return {"OMP_NUM_THREADS": str(threads)} | dict(os.environ)


def _said(lines: Sequence[str], mark: str) -> str | None:
    """What the first of our processes said that ended itself in one line; else None."""
    ours = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
    return ours[0].partition("; run the same command")[0] if ours else None

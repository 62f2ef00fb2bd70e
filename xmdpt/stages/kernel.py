"""The kernel that executes a stage: it gets notices, and its commands must succeed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from jupyter_client.manager import AsyncKernelManager

from xmdpt.support.notices import Stopped, notices


class CommandError(RuntimeError):
    """A line `!command` of a cell failed."""


def strict(shell: Any) -> None:
    """Let a line `!command` raise CommandError where the command fails; IPython goes on."""
    execute = shell.system

    def system(command: str) -> None:
        execute(command)
        if code := shell.user_ns["_exit_code"]:
            raise CommandError(f"!{command} ended with exit code {code}")

    shell.system = system


# Else each kernel warns that it talks to us over TCP, and some that we shut them down.
ARGUMENTS = [
    "--IPKernelApp.log_level=CRITICAL",
    "--IPKernelApp.exec_lines=from xmdpt.stages.kernel import strict; strict(get_ipython())"
    "; del strict",
]


class StageKernel(AsyncKernelManager):
    """A kernel that this process can find again."""

    current: ClassVar["StageKernel | None"] = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        type(self).current = self


def _pass_on(number: int) -> None:
    """Send a notice to the kernel, which has a session of its own and gets none of ours."""
    kernel = StageKernel.current
    pid = getattr(kernel.provisioner, "pid", None) if kernel is not None else None
    if pid is None:
        raise Stopped("nothing to save yet")
    os.kill(pid, number)


@contextmanager
def passing_on_notices() -> Iterator[None]:
    """Pass notices on to the kernel: a training in it saves and ends, anything else ends.

    Raises Stopped where a notice ended the block.
    """
    StageKernel.current = None
    with notices(_pass_on) as asked:
        try:
            yield
        except Exception:
            if asked():
                raise Stopped("what is finished is kept") from None
            raise

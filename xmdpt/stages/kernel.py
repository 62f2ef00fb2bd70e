"""The kernel that executes a stage: it gets notices, its commands must succeed, it imports fast."""

import ast
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from jupyter_client.manager import AsyncKernelManager

from xmdpt.support.notices import Stopped, notices
from xmdpt.support.start import without_collecting


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


def _only_imports(code: str) -> bool:
    try:
        statements = ast.parse(code).body
    except SyntaxError:  # a line `!command`, or a mistake that the cell ends with
        return False
    return all(isinstance(one, ast.Import | ast.ImportFrom) for one in statements)


def import_fast(shell: Any) -> None:
    """Let cells of nothing but imports be executed `without_collecting`."""
    cell = ExitStack()

    def before(info: Any) -> None:
        if _only_imports(info.raw_cell):
            cell.enter_context(without_collecting())

    def after(result: Any) -> None:
        cell.close()

    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)


def prepare(shell: Any) -> None:
    """What a kernel does before the first cell."""
    strict(shell)
    import_fast(shell)


# Else each kernel warns that it talks to us over TCP, and some that we shut them down.
ARGUMENTS = [
    "--IPKernelApp.log_level=CRITICAL",
    "--IPKernelApp.exec_lines=from xmdpt.stages.kernel import prepare; prepare(get_ipython())"
    "; del prepare",
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

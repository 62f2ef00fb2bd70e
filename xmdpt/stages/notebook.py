"""Run a notebook as a stage of the graph (`xmdpt run`): checked settings in, the same bytes out.

What a notebook prints to stdout is shown live and kept. What it prints to stderr (progress,
timings, warnings) is shown live and not kept, so that two runs give the same file.
"""

import ast
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from xmdpt.config import load_config
from xmdpt.stages.account import asked_mode
from xmdpt.stages.kept import drop_recorded
from xmdpt.support.arguments import BadInput, check_file, split_setting, yaml_value
from xmdpt.support.files import atomic_path
from xmdpt.support.notices import Stopped

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
KEPT_LINES = 200
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "WANDB_SILENT": "true",
    "WANDB_QUIET": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    # A python3 kernel registered elsewhere on the machine must not win over this environment's.
    "JUPYTER_PREFER_ENV_PATH": "1",
}
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
# What the user gave cannot be used: the message says all, a traceback would hide it.
INPUT_ERRORS = {
    "BadInput", "CheckpointError", "ConfigError", "DamagedState", "DataError", "DiskError",
    "MissingWeights", "PhotoError",
}  # fmt: skip
WIDGET = "application/vnd.jupyter.widget-view+json"


class KernelDied(RuntimeError):
    """The kernel ended without a Python error, as when memory runs out."""


def has_tag(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Whether a notebook cell carries `tag`."""
    return tag in cell.metadata.get("tags", [])


def read_notebook(path: str | Path) -> nbformat.NotebookNode:
    """Read a notebook in nbformat 4; raises `BadInput` where there is none."""
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such notebook") from None
    except OSError:
        raise
    except Exception:  # nbformat raises whatever a malformed file leads it to
        raise BadInput(f"{path}: not a notebook of nbformat 4") from None
    return notebook


def declared_parameters(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """The names that the `parameters` cell assigns, with their literal default values.

    Raises `BadInput` where the cell holds anything but such assignments.
    """
    declared: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code" or not has_tag(cell, PARAMETERS):
            continue
        try:
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    value = ast.literal_eval(node.value)
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                    declared |= dict.fromkeys(names, value)
        except SyntaxError as error:
            raise BadInput(f"the `parameters` cell: line {error.lineno}: {error.msg}") from None
        except ValueError:
            raise BadInput(
                "the `parameters` cell may only assign literal values, unlike "
                f"`{ast.unparse(node)}`; compute it in the next cell"
            ) from None
    return declared


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the kind that a parameter's default shows."""
    if default is None:
        return True
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, list if isinstance(default, tuple) else type(default))


def parse_settings(settings: list[str], declared: dict[str, Any], path: Path) -> dict[str, Any]:
    """Turn NAME=VALUE strings into values; raises BadInput for a name that is not in `declared`."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, text = split_setting(setting)
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise BadInput(f"{path}: '{name}' is not one of its parameters ({known})")
        values[name] = text if isinstance(declared[name], str) else yaml_value(setting, text)
        try:
            json.dumps(values[name])
        except TypeError:
            raise BadInput(f"--set {setting}: neither text, number, list nor mapping") from None
        if not _fits(values[name], declared[name]):
            raise BadInput(f"--set {setting}: must be like its default, {declared[name]!r}")
    return values


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds params.yaml: where notebooks run."""
    for folder in [start, *start.parents]:
        if (folder / "params.yaml").is_file():
            return folder
    raise BadInput(
        f"no params.yaml in {start} or above: the notebook must lie where xmdpt was cloned, and "
        "`xmdpt profile synthetic` makes the settings there"
    )


def _tidy_text(text: str) -> str:
    # As on a terminal: what follows a carriage return overwrites what came before it.
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    if len(lines) > KEPT_LINES:
        half = KEPT_LINES // 2
        left_out = f"[... {len(lines) - 2 * half} lines left out ...]"
        lines = [*lines[:half], left_out, *lines[-half:]]
    return ADDRESS.sub("0x...", "\n".join(lines))


def _tidy_outputs(
    outputs: list[nbformat.NotebookNode], keep_stderr: bool
) -> list[nbformat.NotebookNode]:
    tidy: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr" and not keep_stderr:
                continue
            # How printed text is cut into messages depends on timing; joined, it does not.
            if tidy and tidy[-1].get("name") == output.name:
                tidy[-1].text += output.text
                continue
        elif WIDGET in output.get("data", {}):
            continue
        tidy.append(output)
    for output in tidy:
        if output.output_type == "stream":
            output.text = _tidy_text(output.text)
        elif "text/plain" in output.get("data", {}):
            output.data["text/plain"] = ADDRESS.sub("0x...", output.data["text/plain"])
    return [output for output in tidy if output.output_type != "stream" or output.text]


def normalise(notebook: nbformat.NotebookNode, keep_stderr: bool = False) -> nbformat.NotebookNode:
    """Drop from an executed notebook, in place, all that differs between two executions.

    Times, machine, random ids and memory addresses go; `keep_stderr` is for failed notebooks.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if has_tag(cell, INJECTED):
            cell.id = INJECTED
        if cell.cell_type == "code":
            cell.outputs = _tidy_outputs(cell.outputs, keep_stderr)
    return notebook


@dataclass(frozen=True)
class _Failure:
    """The error that a cell ended with."""

    cell: int | None
    name: str
    message: str
    traceback: list[str]


def _failure_in(notebook: nbformat.NotebookNode) -> _Failure | None:
    """The first error among the outputs; papermill lets `sys.exit(0)` pass for a success."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                number = cell.execution_count
                return _Failure(number, output.ename, output.evalue, output.traceback)
    return None


def _note_death(notebook: nbformat.NotebookNode) -> None:
    """Say in the last cell that was executed that the kernel died there."""
    begun = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("start_time")
    ]
    if begun:
        died = nbformat.v4.new_output(
            "error", ename=KernelDied.__name__, evalue="the kernel died in this cell", traceback=[]
        )
        begun[-1].outputs.append(died)


def _report_failure(failure: _Failure, notebook: Path, output: Path) -> None:
    traceback = "\n".join(failure.traceback)
    print(traceback if sys.stderr.isatty() else ANSI.sub("", traceback), file=sys.stderr)
    print(f"{notebook}: cell [{failure.cell}] failed, see {output}", file=sys.stderr)


def _papermill(notebook: Path, output: Path, values: dict[str, Any], root: Path) -> bool:
    """Execute a notebook, saving it cell by cell as `output`; False where the kernel died."""
    import papermill  # a second of imports that a wrong command line need not wait for
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from xmdpt.stages.kernel import ARGUMENTS, StageKernel

    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            parameters=values,
            kernel_name="python3",
            kernel_manager_class=StageKernel,
            language="python",
            progress_bar=False,
            request_save_on_cell_execute=True,
            autosave_cell_every=0,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            start_timeout=300,
            extra_arguments=ARGUMENTS,
            cwd=root,
        )
    except PapermillExecutionError:
        pass  # the notebook holds the error
    except DeadKernelError:
        return False
    return True


def execute(notebook: Path, output: Path, values: dict[str, Any], root: Path) -> bool:
    """Execute `notebook` in `root`, keep it normalised as `output`; False where a cell failed.

    Raises BadInput where a cell failed because of what the user gave, KernelDied, and Stopped
    where a scheduler's notice ended it. The notebook is kept all the same.
    """
    os.environ.update(ENVIRONMENT, WANDB_NOTEBOOK_NAME=str(notebook))
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"  # a bar in a log file is a thousand lines
    from xmdpt.stages.kernel import passing_on_notices

    with passing_on_notices():
        with atomic_path(output) as partial:
            alive = _papermill(notebook, partial, values, root)
            executed = nbformat.read(partial, as_version=4)
            if not alive:
                _note_death(executed)
            failure = _failure_in(executed)
            nbformat.write(normalise(executed, keep_stderr=failure is not None), partial)
        if not alive:
            raise KernelDied(f"{notebook}: the kernel died; out of memory? See {output}")
    if failure is not None and failure.name == Stopped.__name__:
        raise Stopped(failure.message)
    if failure is not None and failure.name in INPUT_ERRORS:
        raise BadInput(failure.message)
    if failure is not None:
        _report_failure(failure, notebook, output)
    return failure is None


def run_notebook(notebook: Path, output: Path, settings: list[str]) -> bool:
    """Check settings and params.yaml, then `execute`; raises `BadInput` or `ConfigError`."""
    asked_mode()
    values = parse_settings(settings, declared_parameters(read_notebook(notebook)), notebook)
    check_file(output)
    if output.suffix != ".ipynb" or output.resolve() == notebook.resolve():
        raise BadInput(f"--output {output}: name another .ipynb for the executed notebook")
    root = find_root(notebook.resolve().parent)
    drop_recorded(root)
    config = load_config(root / values.get("params", "params.yaml"), run=values.get("run"))
    runs, start = [*config.runs], time.monotonic()
    left = len(runs) - 1 - runs.index(values["run"]) if values.get("run") in runs else None
    if left is not None:
        print(f"{values['run']}: run {len(runs) - left} of {len(runs)}", file=sys.stderr)
    succeeded = execute(notebook.resolve(), output.resolve(), values, root)
    if left and succeeded:
        minutes = (time.monotonic() - start) / 60
        runs_left = f"{left} run{'s' * (left > 1)} left"
        took = f"took {minutes:.1f} min; {runs_left} for this stage"
        print(f"{took}, about {left * minutes:.0f} min", file=sys.stderr)
    return succeeded

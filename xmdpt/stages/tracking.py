"""Weights & Biases for whoever wants to look; never a reason for a stage to fail.

Runs are written offline to `wandb/` unless the user is logged in (`wandb login`); see them with
`wandb leet` or send them later with `xmdpt report sync`. `WANDB_MODE` has the last word.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from xmdpt.stages.account import asked_mode, choose_mode
from xmdpt.stages.lineage import log_inputs, log_outputs, own_stage
from xmdpt.stages.sync import number_part
from xmdpt.support.files import file_digest, fingerprint
from xmdpt.support.git import commit_of

PROJECT = "xmdpt"
RECORDED = ("params.yaml", "dvc.lock")
"""Files whose digests every run holds."""
CELL = (176, 121)  # pixels of a picture in a grid or a table, at DeepFashion's aspect


class Tracker:
    """What a stage logs to. After the first error of wandb it says so once and does nothing."""

    def __init__(self, run: Any = None) -> None:
        self._run = run
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def _attempt(self, action: Callable[[Any], None]) -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:
            self._run = None
            _warn(error)

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        """Log numbers at `step`."""
        self._attempt(lambda run: run.log(values, step=step))

    def image(self, name: str, picture: Path, caption: str = "") -> None:
        """Log a picture in a file."""
        self._attempt(lambda run: run.log({name: _as_image(picture, caption)}))

    def grid(self, name: str, columns: Mapping[str, Sequence[np.ndarray]], step: int) -> None:
        """Log one picture with a row for each sample and a column for each entry of `columns`.

        Pictures are uint8 (H, W, 3), and squashed to a square as the networks see them.
        """

        def action(run: Any) -> None:
            rows = zip(*columns.values(), strict=True)
            sheet = np.vstack([np.hstack([_upright(one) for one in row]) for row in rows])
            run.log({name: _as_image(sheet, " | ".join(columns))}, step=step)

        self._attempt(action)

    def table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Log a table by its columns; a path or a uint8 (H, W, 3) array in a cell is a picture."""

        def action(run: Any) -> None:
            import wandb

            rows = zip(*columns.values(), strict=True)
            cells: list[Iterable[Any]] = [[_as_cell(value) for value in row] for row in rows]
            run.log({name: wandb.Table(columns=[*columns], data=cells)})

        self._attempt(action)

    def folder(self, name: str, kind: str, folder: Path) -> None:
        """Log a folder with what is in it, as an artifact of type `kind`."""

        def action(run: Any) -> None:
            import wandb

            artifact = wandb.Artifact(name, kind)
            artifact.add_dir(str(folder))
            run.log_artifact(artifact)

        self._attempt(action)

    def inputs(self, config: Mapping[str, Any]) -> None:
        """Log what the stage that DVC carries out is given."""
        self._attempt(lambda run: log_inputs(run, own_stage(config)))

    def outputs(self, config: Mapping[str, Any]) -> None:
        """Log what the stage that DVC carries out has made so far."""
        self._attempt(lambda run: log_outputs(run, own_stage(config)))

    def summary(self, values: dict[str, Any]) -> None:
        """Set the numbers that stand for the whole run."""
        self._attempt(lambda run: run.summary.update(values))

    def pace(self, step: int, steps: int) -> None:
        """Print the time of a step, on average since the first call, and the time remaining.

        On stderr, which executed notebooks do not keep: it differs from time to time.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
            return
        begun, then = self._first
        each = (now - then) / (step - begun)
        left = timedelta(seconds=round(each * (steps - step)))
        print(f"{each:.2g} s a step, {left} left", file=sys.stderr, flush=True)

    def speed(self, step: int, pictures: int) -> dict[str, float]:
        """Seconds a step since the last call, pictures a second, and the most memory so far.

        `pictures` are those of a step. The first call knows the memory alone.
        """
        then, self._last = self._last, (step, time.monotonic())
        values = {"memory_mb": _peak_memory()}
        if then is not None and step > then[0]:
            each = (self._last[1] - then[1]) / (step - then[0])
            values |= {"step_seconds": each, "pictures_per_second": pictures / each}
        return values

    def finish(self, exit_code: int = 0) -> None:
        """End the run; `track` calls this."""
        self._attempt(lambda run: run.finish(exit_code=exit_code))
        self._run = None


def _warn(error: BaseException) -> None:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    warnings.warn(f"no longer logging to W&B: {reason[0]}", RuntimeWarning, stacklevel=2)


def _peak_memory() -> float:
    """The most memory in use so far, in MB: of the GPU if there is one, else of the process."""
    torch = sys.modules.get("torch")  # who trains has imported it, and others need not wait for it
    if torch is not None and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1e6
    if sys.platform == "win32":  # which has no such module
        return float("nan")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def parameters_in(folder: Path) -> int:
    """How many numbers the weights in a diffusers model folder hold, from their heading alone."""
    from math import prod

    from diffusers.utils.constants import SAFETENSORS_WEIGHTS_NAME
    from safetensors import safe_open

    with safe_open(folder / SAFETENSORS_WEIGHTS_NAME, "numpy") as weights:
        names = weights.keys()
        return sum(prod(weights.get_slice(name).get_shape()) for name in names)


def _as_image(picture: Path | np.ndarray, caption: str = "") -> Any:
    import wandb

    content = str(picture) if isinstance(picture, Path) else picture
    return wandb.Image(content, caption=caption or None)


def _upright(picture: np.ndarray) -> np.ndarray:
    """A square picture at the aspect of the photograph that it was squashed from."""
    from PIL import Image

    height, width = CELL
    return np.asarray(Image.fromarray(picture).resize((width, height)))


def _as_cell(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _as_image(_upright(value))
    return _as_image(value) if isinstance(value, Path) else value


def run_id(stage: str, name: str, config: dict[str, Any]) -> str:
    """The same id for the same work, so that what goes on after a break is no run of its own.

    W&B keeps what a run has logged at a step: of work that is done again, it ignores those steps.
    """
    return f"{stage}-{name}-{fingerprint(stage, name, config)}"


def tables_of(name: str, config: Mapping[str, Any]) -> list[str]:
    """The tables of the paper that show a run, in its order; none for what is not a run."""
    from xmdpt.paper.scores import tables_with

    return tables_with(name) if name in config.get("experiments", {}) else []


def project_name() -> str:
    """The project that runs are logged to, which `WANDB_PROJECT` may change."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def _origin() -> dict[str, str | None]:
    """Where a run comes from: commit, digests of settings and of the graph's state, DVC's names."""
    digests = {f"{path} sha256": file_digest(path) for path in RECORDED if Path(path).is_file()}
    return {
        "git_sha": commit_of(),
        "dvc_stage": os.environ.get("DVC_STAGE"),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
    } | digests


def _start(stage: str, name: str, config: dict[str, Any]) -> Any:
    mode: Any = choose_mode()
    if mode == "disabled":
        return None  # not even the import, which takes seconds
    import wandb

    os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")  # it would be recommended in every run
    # Our own git sha is enough: wandb would keep a copy of every uncommitted change.
    settings = wandb.Settings(
        silent=True, console="off", disable_code=True, disable_git=True,
        init_timeout=30, finish_timeout=120,  # a lost network must not hold a finished stage up
    )  # fmt: skip
    tables, experiment = tables_of(name, config), os.environ.get("DVC_EXP_NAME")
    labels = [*tables, str(config.get("profile", name)), *([experiment] if experiment else [])]
    own = config.get("experiments", {}).get(name, {})
    return wandb.init(
        project=project_name(),
        id=run_id(stage, name, config),
        resume="allow",
        name=f"{stage}-{name}",
        job_type=stage,
        group=tables[0] if tables else config.get("profile", name),
        tags=labels,
        config=config | {"row": own.get("title", name)} | _origin(),
        mode=mode,
        settings=settings,
    )


@contextmanager
def track(stage: str, name: str, config: dict[str, Any]) -> Iterator[Tracker]:
    """Log one stage, `name` being its run or data set and `config` the settings it depends on.

    Raises ConfigError where `WANDB_MODE` is none of wandb's words, and never for wandb itself.
    """
    asked_mode()
    try:
        tracker = Tracker(_start(stage, name, config))
        number_part(run_id(stage, name, config))
    except Exception as error:
        _warn(error)
        tracker = Tracker()
    tracker.inputs(config)
    try:
        yield tracker
    except BaseException:
        tracker.finish(exit_code=1)
        raise
    tracker.outputs(config)
    tracker.finish()

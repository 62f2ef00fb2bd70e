"""Weights & Biases for whoever wants to look; never a reason for a stage to fail.

Runs are written offline to `wandb/` unless the user is logged in (`wandb login`); see them with
`wandb leet` or send them later with `wandb sync`. `WANDB_MODE` has the last word.
"""

import netrc
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xmdpt.support.files import fingerprint
from xmdpt.support.git import commit_of

PROJECT = "xmdpt"


class Tracker:
    """What a stage logs to. After the first error of wandb it says so once and does nothing."""

    def __init__(self, run: Any = None) -> None:
        self._run = run
        self._first: tuple[int, float] | None = None

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

        def action(run: Any) -> None:
            import wandb

            run.log({name: wandb.Image(str(picture), caption=caption or None)})

        self._attempt(action)

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

    def finish(self, exit_code: int = 0) -> None:
        """End the run; `track` calls this."""
        self._attempt(lambda run: run.finish(exit_code=exit_code))
        self._run = None


def _warn(error: BaseException) -> None:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    warnings.warn(f"no longer logging to W&B: {reason[0]}", RuntimeWarning, stacklevel=2)


def logged_in() -> bool:
    """Whether wandb has credentials to use, found as it finds them but without asking anyone."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    named = os.environ.get("NETRC")
    candidates = [named] if named else ["~/.netrc", "~/_netrc"]
    for candidate in candidates:
        try:
            if netrc.netrc(Path(candidate).expanduser()).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def run_id(stage: str, name: str, config: dict[str, Any]) -> str:
    """The same id for the same work, so that doing it again overwrites instead of multiplying."""
    return f"{stage}-{name}-{fingerprint(stage, name, config)}"


def _origin() -> dict[str, str | None]:
    return {
        "git_sha": commit_of(),
        "dvc_stage": os.environ.get("DVC_STAGE"),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
    }


def _start(stage: str, name: str, config: dict[str, Any]) -> Any:
    if os.environ.get("WANDB_MODE") == "disabled":
        return None  # not even the import, which takes seconds
    import wandb

    os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")  # it would be recommended in every run
    # Our own git sha is enough: wandb would keep a copy of every uncommitted change.
    settings = wandb.Settings(
        silent=True, console="off", disable_code=True, disable_git=True,
        init_timeout=30, finish_timeout=120,  # a lost network must not hold a finished stage up
    )  # fmt: skip
    # None leaves it to wandb, which knows of `wandb offline` and `wandb disabled` as well.
    mode: Any = os.environ.get("WANDB_MODE") or (None if logged_in() else "offline")
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=run_id(stage, name, config),
        resume="allow",
        name=f"{stage}-{name}",
        job_type=stage,
        group=os.environ.get("DVC_EXP_NAME") or config.get("profile", name),
        config=config | _origin(),
        mode=mode,
        settings=settings,
    )


@contextmanager
def track(stage: str, name: str, config: dict[str, Any]) -> Iterator[Tracker]:
    """Log one stage, `name` being its run or data set and `config` the settings it depends on."""
    try:
        tracker = Tracker(_start(stage, name, config))
    except Exception as error:
        _warn(error)
        tracker = Tracker()
    try:
        yield tracker
    except BaseException:
        tracker.finish(exit_code=1)
        raise
    tracker.finish()

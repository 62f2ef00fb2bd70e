"""All runs of the study, one on each core: what is finished stays, what is missing is made."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xmdpt.config import ConfigError, load_config
from xmdpt.features.rows import require_features
from xmdpt.settings_file import did_you_mean
from xmdpt.study.design import Design
from xmdpt.study.runs import DRAWINGS, carry_out, code_commit, rows_of, score_baselines
from xmdpt.study.scores import file_name, find_drawings, read_drawing
from xmdpt.support.workers import side_by_side

PROFILE = "study"


@dataclass(frozen=True)
class Run:
    """A row to train with a seed."""

    row: str
    seed: int

    def __str__(self) -> str:
        return f"{self.row}, seed {self.seed}"

    def finished(self, out: Path) -> bool:
        """Whether all that it draws has been scored."""
        return all((out / file_name(row, self.seed)).is_file() for row in rows_of(self.row))


def all_runs(design: Design, seeds: Sequence[int] = ()) -> list[Run]:
    """Every run of the study, or with further `seeds`.

    Seed by seed, so that an early end leaves whole seeds.
    """
    rows = [row for row in design.rows if row not in design.same_weights]
    return [Run(row, seed) for seed in seeds or design.seeds for row in rows]


def follow_up_runs(design: Design, seeds: Sequence[int] = ()) -> list[Run]:
    """The runs that test why verdicts go against the paper: of the first seed, or of `seeds`."""
    rows = {row: None for one in design.follow_ups.values() for row in one.rows}
    drawn = {name for own in DRAWINGS.values() for name in own}
    trained = [row for row in rows if row not in drawn]
    return [Run(row, seed) for seed in seeds or design.seeds[:1] for row in trained]


def check_profile(params: str | Path) -> None:
    """Raise ConfigError where the settings are those of another profile, with rows of its own."""
    if (profile := load_config(params).profile) != PROFILE:
        raise ConfigError(
            f"{params}: is the profile '{profile}'; the study's settings are put in place by "
            f"`xmdpt profile {PROFILE}`"
        )


def check_commit(out: Path) -> None:
    """Raise ConfigError where the finished runs in `out` come from other code than this."""
    files = [path for own in find_drawings(out).values() for path in own.values()]
    known = sorted({read_drawing(path)["commit"] for path in files})
    own = code_commit()
    if known and known != [own]:
        commits = ", ".join(known)
        raise ConfigError(
            f"{out}: its runs come from the code of {commits}, and this is {own}; a study is of "
            f"one code. Go on in a copy of that, with an environment of its own (`git worktree add "
            f"../study {known[0]}`, and `make setup` there), with --out {out.absolute()}, or start "
            "a study of its own in another --out"
        )


def _carry_out(run: Run, params: str, out: str) -> None:
    carry_out(params, run.row, run.seed, out)


def carry_out_all(
    params: str | Path, runs: Iterable[Run], out: str | Path, workers: int
) -> Iterator[Run]:
    """Carry out `runs`, `workers` at a time, and yield each as it ends.

    Raises ConfigError where the stages before are missing, and RuntimeError, after the others have
    ended, where a run failed.
    """
    out, runs = Path(out), [*runs]
    if not runs:
        return
    check_profile(params)
    require_features()
    out.mkdir(parents=True, exist_ok=True)
    check_commit(out)
    score_baselines(params, out)
    failed = []
    work = partial(_carry_out, params=str(params), out=str(out))
    for run, succeeded in side_by_side(work, runs, workers):
        if succeeded:
            yield run
        else:
            failed.append(run)
    if failed:
        raise RuntimeError(f"failed: {'; '.join(map(str, failed))}; see the messages above")


def select(runs: Sequence[Run], out: Path, rows: Sequence[str] = ()) -> list[Run]:
    """Those of `runs` that are not finished, of these rows where any are named."""
    known = dict.fromkeys(run.row for run in runs)
    if unknown := [row for row in rows if row not in known]:
        raise ConfigError(
            f"--rows: the study trains no '{unknown[0]}'; it trains {', '.join(known)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    return [run for run in runs if (not rows or run.row in rows) and not run.finished(out)]

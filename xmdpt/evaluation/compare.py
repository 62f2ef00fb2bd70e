"""Methods' result folders side by side, under any protocols: what `xmdpt evaluate` does."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

from xmdpt.data.images import picture_size
from xmdpt.data.stores import DataError
from xmdpt.evaluation.evaluate import Options
from xmdpt.evaluation.inspection import inspect
from xmdpt.evaluation.preparation import follows_results
from xmdpt.evaluation.protocols import Frechet, Perceptual, Protocol, Size, get_protocol
from xmdpt.evaluation.results import (
    EvaluationWarning,
    Pair,
    References,
    expected_pairs,
    kept,
    match_results,
    training_pictures,
    warn,
    warn_about,
)
from xmdpt.evaluation.summary import Scores, TrainingStatistics, score_folder, score_table
from xmdpt.support.files import atomic_path, finite, write_json

LIBRARIES = (
    *("xmdpt", "torch", "torchvision", "torch-fidelity", "torchmetrics", "lpips"),
    *("scikit-image", "scipy", "numpy", "pillow", "opencv-python-headless"),
)
"""Libraries that scores depend on: their versions are part of every result."""


def versions() -> dict[str, str]:
    """Return the versions of `LIBRARIES`."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another build of OpenCV, say
            found[name] = "not installed under this name"
    return found


@dataclass(frozen=True)
class Comparison:
    """Methods' scores under one protocol, with all that they depend on."""

    protocol: Protocol
    scores: Scores
    used: dict[str, dict[str, int]]
    """For distances between sets, and those that drop a batch: metric -> method or `training` ->
    number of pictures."""
    notes: list[str]
    seed: int
    folders: dict[str, str]
    """Method -> its folder."""
    reference: str
    train: str | None
    """Folders of the true and of the training pictures."""
    comparable: bool = True
    """Whether all rows have the same pairs and sizes; if not, none is marked as the best."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values; numbers that are not finite become null."""
        return {
            "protocol": asdict(self.protocol),
            "scores": finite(self.scores),
            "folders": self.folders,
            "reference": self.reference,
            "train": self.train,
            "used": self.used,
            "notes": self.notes,
            "bootstrap_seed": self.seed,
            "versions": versions(),
        }

    def as_markdown(self) -> str:
        """Return the table under its protocol's name, with counts, notes and versions."""
        counts = ", ".join(f"{name}: {row['count']:.0f}" for name, row in self.scores.items())
        lines = [
            f"* pairs: {counts}; in brackets: 95 % bootstrap intervals over people",
            f"* true pictures: {self.reference}; training pictures: {self.train or 'none'}",
        ]
        for name, sides in self.used.items():
            parts = ", ".join(f"{side}: {count}" for side, count in sides.items())
            lines.append(f"* pictures of {name}: {parts}")
        lines += [f"* {note}" for note in self.notes]
        lines.append("* " + ", ".join(f"{name} {number}" for name, number in versions().items()))
        title = f"### Protocol `{self.protocol.name}`\n\n{self.protocol.about}\n\n"
        return title + score_table(self.scores, "\n".join(lines), self.comparable) + "\n"


def named(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the folders by method name: the shortest path endings that differ.

    Raises DataError for a folder that is missing or given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder, path in zip(folders, resolved, strict=True):
        if not path.is_dir():
            raise DataError(f"{folder}: no such folder")
        if resolved.count(path) > 1:
            raise DataError(f"{folder} is given twice")
    depth = 1
    while len({path.parts[-depth:] for path in resolved}) < len(resolved):
        depth += 1
    return {str(Path(*path.parts[-depth:])): path for path in resolved}


def by_protocol(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return comparisons as JSON values, by the name of the protocol."""
    return {one.protocol.name: one.as_json() for one in comparisons}


def write_comparisons(
    comparisons: Sequence[Comparison], json: Path | None, table: Path | None
) -> None:
    """Write comparisons to a JSON file and a Markdown file, each whole or not at all."""
    if json is not None:
        write_json(json, by_protocol(comparisons))
    if table is not None:
        with atomic_path(table) as partial:
            partial.write_text(
                "\n".join(one.as_markdown() for one in comparisons), encoding="utf-8"
            )


@contextmanager
def _gathered(notes: list[str]) -> Iterator[None]:
    """Collect evaluation warnings in `notes`, each once; let other warnings through."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvaluationWarning)
        yield
    for warning in caught:
        if not issubclass(warning.category, EvaluationWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif str(warning.message) not in notes:
            notes.append(str(warning.message))


def _choose_pairs(
    folders: Mapping[str, Path],
    reference_dir: Path,
    pairs_file: Path | None,
    own_pairs: bool,
) -> tuple[set[Pair] | None, bool]:
    """Return the pairs to score, None for all that each folder has, and whether all have the same.

    Warns about missing results.
    """
    found = {
        name: {match.pair for match in match_results(folder, reference_dir)}
        for name, folder in folders.items()
    }
    expected = expected_pairs(reference_dir, pairs_file)
    if expected is not None:
        for name, pairs in found.items():
            missing = f"of {len(expected)} test pairs have no result in {folders[name]}"
            surplus = f"results in {folders[name]} belong to no test pair"
            for some, what in ((expected - pairs, missing), (pairs - expected, surplus)):
                warn_about([f"{source} -> {target}" for source, target in some], what)
    chosen = expected if pairs_file else None
    wanted = {name: pairs if chosen is None else pairs & chosen for name, pairs in found.items()}
    if len({frozenset(pairs) for pairs in wanted.values()}) < 2:
        return chosen, True
    common = set.intersection(*wanted.values())
    counts = ", ".join(f"{name} {len(pairs)}" for name, pairs in wanted.items())
    if own_pairs:
        fate = "each is scored on its own, and rows do not compare"
    else:
        fate = f"all are scored on the {len(common)} that they share"
    warn(f"methods have results for different pairs ({counts}): {fate}")
    return (chosen, False) if own_pairs else (common, True)


def _inspect_all(
    folders: Mapping[str, Path], reference_dir: Path, only: set[Pair] | None, any_shape: bool
) -> bool:
    """Look at all results of all methods; return False, with a warning, if some are padded.

    Raises DataError that names what is unusable in any folder.
    """
    references = References(reference_dir)
    errors: list[str] = []
    padding: dict[str, str] = {}
    for name, folder in folders.items():
        matches = match_results(folder, reference_dir)
        chosen = [match for match in matches if only is None or match.pair in only]
        try:
            padding[name] = inspect(chosen, references, any_shape).padding if chosen else ""
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError("; and ".join(errors))
    if len(set(padding.values())) < 2:
        return True
    listed = ", ".join(f"{name} {how or 'not at all'}" for name, how in padding.items())
    warn(f"methods are padded differently ({listed}): rows do not compare")
    return False


def _same_size(rules: Protocol, sizes: Mapping[str, Size]) -> bool:
    """Return False, with a warning, if results are scored at their own sizes and these differ."""
    same = not follows_results(rules.pixels) or len(set(sizes.values())) < 2
    if not same:
        listed = ", ".join(f"{name} {width}x{height}" for name, (height, width) in sizes.items())
        warn(
            f"protocol '{rules.name}' scores results at their own size, and methods have different "
            f"sizes ({listed}): rows do not compare"
        )
    return same


def _warn_of_numbers(name: str, pairs: pd.DataFrame) -> None:
    """Say why a method's table lacks an interval, and that some of its results are the truth."""
    people = pairs["person"].unique()
    if len(people) == 1:
        warn(
            f"{name} has no intervals: all its {len(pairs)} pairs show {people[0]}, and intervals "
            "are drawn over people"
        )
    if same := int(np.isinf(pairs["psnr"]).sum()):
        warn(
            f"{name} has {same} of {len(pairs)} results that equal their true pictures: their PSNR "
            "is infinite, and the mean leaves them out"
        )


def _compare_under(
    rules: Protocol,
    folders: Mapping[str, Path],
    reference_dir: Path,
    train: TrainingStatistics,
    seed: int,
    only: set[Pair] | None,
    any_shape: bool,
    **options: Unpack[Options],
) -> tuple[Scores, dict[str, dict[str, int]], bool]:
    """Return the scores, how many pictures were used for them, and whether all sizes are equal."""
    scores, sizes, used = {}, {}, {}
    for name, folder in folders.items():
        scores[name], pairs = score_folder(
            folder, reference_dir, train, seed, only, any_shape=any_shape, **options
        )
        sizes[name] = picture_size(folder / pairs["result"][0])
        _warn_of_numbers(name, pairs)
    dropping = (one for one in rules.perceptual if one.drop_last)
    batched: list[Frechet | Perceptual] = [*rules.frechet, *dropping]
    for one in batched:
        counts = {
            name: kept(int(row["count"]), one.batch_size, one.drop_last)
            for name, row in scores.items()
            if one.name in row
        }
        if one.name in train.counts:
            counts["training"] = train.counts[one.name]
        if counts:
            used[one.name] = counts
    return scores, used, _same_size(rules, sizes)


def compare(
    folders: Mapping[str, Path],
    reference_dir: str | Path,
    train_dir: str | Path | None = None,
    protocols: Sequence[str | Protocol] = ("pidm",),
    *,
    pairs_file: Path | None = None,
    own_pairs: bool = False,
    any_shape: bool = False,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    **options: Unpack[Options],
) -> Iterator[Comparison]:
    """Score result folders, given by name, under each protocol in turn.

    `reference_dir` and `train_dir` hold pictures in any layout that `DeepFashion` reads, or loose
    ones. Methods are scored on the pairs that all of them have, unless `own_pairs`: neither means
    over different pairs nor Frechet distances of different numbers of pictures compare.
    `pairs_file` limits the pairs to those it lists; `any_shape` is as for `evaluate_pairs`. Raises
    DataError for unusable folders.
    """
    records = [get_protocol(protocol) for protocol in protocols]
    general: list[str] = []
    references = Path(reference_dir)
    with _gathered(general):
        only, alike = _choose_pairs(folders, references, pairs_file, own_pairs)
        alike &= _inspect_all(folders, references, only, any_shape)
        if train_dir is not None:
            training_pictures(train_dir)  # so that errors in them come before the work
    for rules in records:
        notes = list(general)
        train = TrainingStatistics(train_dir, rules, cache_dir=cache_dir, **options)
        with _gathered(notes):
            scores, used, same = _compare_under(
                rules, folders, references, train, seed, only, any_shape, **options
            )
        if train_dir is None:
            names = ", ".join(f"{one.name}, {one.kernel}" for one in rules.frechet)
            notes.append(f"{names} are left out: no training pictures are given")
        places = {name: str(folder) for name, folder in folders.items()}
        training = None if train_dir is None else str(train_dir)
        against = (places, str(reference_dir), training)
        yield Comparison(rules, scores, used, notes, seed, *against, alike and same)

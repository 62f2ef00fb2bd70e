"""The scores of one drawing, kept in a small file, and those of all drawings as arrays.

A file `<row>-<seed>.json` holds, of the pictures that one row drew with one seed, each person's
means of the metrics of single pictures, and each distance between collections, whole and without
each of `GROUPS` groups of people. It carries a digest of itself, so that it is what was measured.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xmdpt.config import ConfigError
from xmdpt.data.images import picture_size
from xmdpt.data.stores import FolderStore
from xmdpt.evaluation.evaluate import evaluate_pairs
from xmdpt.evaluation.features import Statistics, pooled_features
from xmdpt.evaluation.networks import frechet_network
from xmdpt.evaluation.protocols import SYNTHETIC
from xmdpt.evaluation.results import Picture
from xmdpt.evaluation.summary import rounded
from xmdpt.metrics.contrasts import jackknife_values
from xmdpt.metrics.frechet import FrechetDistance, kernel_distance
from xmdpt.metrics.labels import BASELINES, COPY, LABELS, LIMITS
from xmdpt.study.verdicts import Scores
from xmdpt.support.files import fingerprint, write_json

GROUPS = 20
"""Of people, each left out of a distance in turn; of fewer people each one."""
UNTRAINED = {*BASELINES, *LIMITS}
"""Rows that need no training: they are scored once, as seed 0, whatever a design's seeds are."""
Drawings = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Row -> seed -> what the file of its drawing says."""


def group_of(people: Sequence[str]) -> np.ndarray:
    """The group (N,) of each person named: the same for whoever scores the same people."""
    place = {person: index % GROUPS for index, person in enumerate(sorted(set(people)))}
    return np.array([place[person] for person in people])


def _jackknife(distance: Callable[[np.ndarray], float], groups: np.ndarray) -> dict[str, Any]:
    """A distance of all rows, and without each group's; `distance` takes a mask of rows (N,)."""
    without = [rounded(distance(groups != group)) for group in np.unique(groups)]
    return {"whole": rounded(distance(groups >= 0)), "without": without}


def score_drawing(
    folder: Path, reference_dir: Path, train: Mapping[str, Statistics]
) -> dict[str, Any]:
    """Score the results in `folder` under the protocol `synthetic`.

    `train` is what `training_statistics` returns. The result has `count` pairs, `people` (P names),
    `means` (metric -> P means over a person's pairs) and `distances` (metric -> `whole` and
    `without`).
    """
    pairs = evaluate_pairs(folder, reference_dir, SYNTHETIC, progress=False)
    metrics = [name for name in pairs.columns if name not in LABELS]
    means = pairs.groupby("person")[metrics].mean()
    [rules] = SYNTHETIC.frechet
    reference, network = train[rules.name], frechet_network(rules)
    store = FolderStore(folder, {name: name for name in pairs["result"]})
    pictures = [Picture(store, name) for name in pairs["result"]]
    size = picture_size(folder / pairs["result"][0])
    x, same = pooled_features(pictures, network, rules, size, device="cpu", progress=False)
    groups = group_of(pairs["person"].tolist())

    to_training = FrechetDistance(reference.moments)

    def frechet(kept: np.ndarray) -> float:
        return to_training(x[kept])

    def kernel(kept: np.ndarray) -> float:
        return kernel_distance(x[kept], reference.features, reference.within, same[kept])

    distances = {
        rules.name: _jackknife(frechet, groups),
        rules.kernel: _jackknife(kernel, groups),
    }
    return {
        "count": len(pairs),
        "people": [str(person) for person in means.index],
        "means": {name: [rounded(value) for value in means[name]] for name in metrics},
        "distances": distances,
    }


def file_name(row: str, seed: int) -> str:
    """The name of a drawing's file."""
    return f"{row}-{seed}.json"


def write_scores(path: Path, drawing: Mapping[str, Any]) -> None:
    """Write a drawing's scores, and what else `drawing` says of it, with a digest of both."""
    write_json(path, {**drawing, "digest": fingerprint(drawing)})


def read_drawing(path: Path) -> dict[str, Any]:
    """Read what `write_scores` wrote; raises ConfigError where that is not what is there."""
    remedy = "delete it, and the study makes it again"
    try:
        drawing: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        digest = drawing.pop("digest")
        drawing["people"], drawing["means"], drawing["distances"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path}: not a drawing's scores; {remedy}") from None
    if digest != fingerprint(drawing):
        raise ConfigError(f"{path}: changed since it was measured; restore it, or {remedy}")
    return drawing


def units(drawing: Mapping[str, Any], metric: str) -> np.ndarray:
    """A drawing's units (U,) of a metric: people, or pseudo-values."""
    if metric in drawing["distances"]:
        return jackknife_values(**drawing["distances"][metric])
    return np.array(drawing["means"][metric])


def find_drawings(folder: str | Path) -> dict[str, dict[int, Path]]:
    """Return the files of a folder of scores: row -> seed -> path."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(Path(folder).glob("*-*.json")):
        if match := re.fullmatch(r"(\w+)-(\d+)\.json", path.name):
            found.setdefault(match[1], {})[int(match[2])] = path
    return found


def read_drawings(folder: str | Path) -> Drawings:
    """Return all drawings in `folder`; raises ConfigError for a file that cannot be read."""
    return {
        row: {seed: read_drawing(path) for seed, path in own.items()}
        for row, own in find_drawings(folder).items()
    }


def scores_of(
    records: Drawings, folder: str | Path, metrics: Iterable[str], seeds: Sequence[int]
) -> dict[str, Scores]:
    """Return the scores of all rows that have every one of `seeds`, by metric.

    There may be none. `folder` is where the drawings `records` were read, for messages. Raises
    ConfigError where two files score other people, and where a copy of the source has no scores.
    """
    if COPY not in records:
        raise ConfigError(f"{folder}: no scores of {COPY}; `xmdpt study run` makes them first")
    rows = {row: own for row, own in records.items() if {*seeds} <= {*own} and row not in UNTRAINED}
    copy = records[COPY][0]  # its pictures need no seed, so it has seed 0 alone
    drawings = {row: [own[seed] for seed in seeds] for row, own in rows.items()}
    for row, own in drawings.items():
        for seed, drawing in zip(seeds, own, strict=True):
            if drawing["people"] != copy["people"]:
                path = Path(folder) / file_name(row, seed)
                raise ConfigError(
                    f"{path}: scores of other people than those of {COPY}; both must be drawn with "
                    "the same settings"
                )
    return {
        metric: Scores(
            rows=tuple(rows),
            values=np.array([[units(one, metric) for one in own] for own in drawings.values()]),
            copy=units(copy, metric),
        )
        for metric in metrics
    }

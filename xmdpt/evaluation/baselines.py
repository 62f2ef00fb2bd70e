"""Baselines, which a method must beat, and limits, which it cannot: made without any learning.

They are written as result folders, so they are scored like any method. They depend on the pairs
alone, so runs that draw the same pairs share their scores.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from xmdpt.config import Config
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.keypoints import missing
from xmdpt.data.pairs import mangle, result_name, spread
from xmdpt.evaluation.results import THREADS, batches
from xmdpt.evaluation.summary import Scores
from xmdpt.metrics.labels import AS_WRITTEN, BASELINES, LIMITS
from xmdpt.support.files import atomic_path, read_json, write_json

BATCH = 16  # pictures through the autoencoder at a time
WAITING = 256  # pictures that may wait in memory to be averaged
MISMATCH = 64.0  # pixels of the 256-high frame: the distance of a joint that one pose lacks


def pose_distances(pose: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distances (T,) from a pose (J, 2) to others (T, J, 2), in pixels of the frame.

    That is the mean over joints of the Euclidean distance, or of `MISMATCH` where only one pose has
    the joint. Joints that neither has do not count; two poses without joints are at distance 0.
    """
    seen, others_seen = ~missing(pose), ~missing(others)
    both, one = seen & others_seen, seen ^ others_seen
    shift = np.where(both[..., None], pose - others, 0.0)  # (T, J, 2)
    total = np.linalg.norm(shift, axis=-1).sum(axis=1) + MISMATCH * one.sum(axis=1)
    mean: np.ndarray = total / (both | one).sum(axis=1).clip(min=1)
    return mean


def mean_picture(data: DeepFashion) -> np.ndarray:
    """Return the mean of the training pictures, uint8 (size, size, 3)."""
    names = data.pictures("train")
    total = np.zeros((data.size, data.size, 3))
    with ThreadPoolExecutor(THREADS) as pool:
        for some in batches(names, WAITING):
            for picture in pool.map(data.picture, some):
                total += picture
    return (total / len(names)).round().astype(np.uint8)


def result_pairs(generated_dir: str | Path, data: DeepFashion) -> list[tuple[str, str]]:
    """Return the test pairs, (source, target), whose result is in the folder."""
    folder = Path(generated_dir)
    return [pair for pair in data.pairs("test") if (folder / result_name(*pair)).is_file()]


def pairs_to_draw(config: Config, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the test pairs that the last checkpoint of the run in `config` draws."""
    return spread(pairs, config.sample.checkpoints[config.last_checkpoint])


def _make_folders(parent: str | Path, names: Iterable[str]) -> dict[str, Path]:
    folders = {name: Path(parent) / name for name in names}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    return folders


def write_baselines(
    folder: str | Path, data: DeepFashion, pairs: Sequence[tuple[str, str]]
) -> dict[str, Path]:
    """Write one result folder per baseline below `folder` and return them by name.

    For each (source, target) pair: `copy_source`, the source itself; `mean_picture`, the mean
    training picture; `nearest_pose`, the training picture whose pose is nearest to the target's
    (see `pose_distances`), the first if tied. All are squares, as the reader makes them.
    """
    train = data.pictures("train")
    poses = np.stack([data.keypoints(name) for name in train])
    folders = _make_folders(folder, BASELINES)
    mean = mean_picture(data)

    def nearest_to(target: str) -> str:
        return train[int(pose_distances(data.keypoints(target), poses).argmin())]

    def write(pair: tuple[str, str]) -> None:
        source, target = pair
        answers = (data.picture(source), mean, data.picture(nearest[target]))
        for path, picture in zip(folders.values(), answers, strict=True):
            Image.fromarray(picture).save(path / result_name(source, target))

    with ThreadPoolExecutor(THREADS) as pool:
        targets = list(dict.fromkeys(target for _, target in pairs))
        nearest = dict(zip(targets, pool.map(nearest_to, targets), strict=True))
        for _ in pool.map(write, pairs):
            pass
    return folders


def write_limits(
    folder: str | Path,
    data: DeepFashion,
    pairs: Sequence[tuple[str, str]],
    rebuild: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Path]:
    """Write one result folder per limit below `folder` and return them by name.

    For each (source, target) pair: `reconstruction`, the target through the autoencoder; `truth`,
    the target itself. `rebuild` encodes and decodes uint8 (N, size, size, 3). A latent diffusion
    model cannot draw better than `reconstruction`; a perfect method is as far from the training
    pictures as `truth`, since the test set shows other people.
    """
    folders = _make_folders(folder, LIMITS)
    sources: dict[str, list[str]] = {}
    for source, target in pairs:
        sources.setdefault(target, []).append(source)
    for targets in batches(list(sources), BATCH):
        truth = np.stack([data.picture(target) for target in targets])
        for target, *answers in zip(targets, rebuild(truth), truth, strict=True):
            for path, picture in zip(folders.values(), answers, strict=True):
                for source in sources[target]:
                    Image.fromarray(picture).save(path / result_name(source, target))
    return folders


def write_scores(folder: str | Path, scores: Scores, table: pd.DataFrame, count: int) -> None:
    """Write to `folder` what `summarise` returned for baselines and limits on `count` pairs."""
    write_json(Path(folder) / f"{count}.json", scores)
    with atomic_path(Path(folder) / f"{count}.tsv") as path:
        table.to_csv(path, sep="\t", index=False)


def read_scores(
    folder: str | Path, pairs: Sequence[tuple[str, str]]
) -> tuple[Scores, pd.DataFrame]:
    """Return what `write_scores` wrote for exactly these (source, target) pairs.

    Raises DataError if those pairs have not been scored.
    """
    path = Path(folder) / f"{len(pairs)}.json"
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage `baselines`")
    scores = read_json(path, "run the stage `baselines` again")
    table = pd.read_csv(path.with_suffix(".tsv"), **AS_WRITTEN)
    asked = {(mangle(source), mangle(target)) for source, target in pairs}
    if set(zip(table["source"], table["target"], strict=True)) != asked:
        raise DataError(f"{path}: holds scores of other pairs; run the stage `baselines` again")
    return {name: scores[name] for name in (*BASELINES, *LIMITS)}, table

"""Score a folder of results against references under a protocol."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from tqdm import tqdm

from xmdpt.data.images import picture_size
from xmdpt.data.stores import DataError, FolderStore, LmdbStore, read_picture
from xmdpt.evaluation.features import (
    Statistics,
    as_input,
    picture_statistics,
    pooled_features,
)
from xmdpt.evaluation.inspection import inspect
from xmdpt.evaluation.networks import PerceptualNetwork, frechet_network, perceptual_network
from xmdpt.evaluation.preparation import begins_with, prepare, scored_sizes
from xmdpt.evaluation.protocols import SSIM, Frechet, Perceptual, Protocol, Size, get_protocol
from xmdpt.evaluation.results import (
    THREADS,
    Match,
    Pair,
    Picture,
    References,
    batches,
    kept,
    match_results,
    training_pictures,
    warn,
)
from xmdpt.evaluation.shards import RowStore, score_batches
from xmdpt.metrics.frechet import frechet_distance, frechet_infinity, kernel_distance
from xmdpt.metrics.images import psnr, sharpness, silhouette_iou, ssim
from xmdpt.metrics.labels import LABELS
from xmdpt.support.files import file_digest, fingerprint
from xmdpt.support.hub import MissingWeights, weights_key
from xmdpt.support.precision import full_float32

BATCH = 32  # pairs in memory at a time

Rules = TypeVar("Rules", Perceptual, Frechet)
Network = TypeVar("Network", bound=nn.Module)


class Options(TypedDict, total=False):
    """What all scoring takes: a folder to look for networks in first, a device, progress bars."""

    weights: str | Path | None
    device: str | None
    progress: bool


def _device(device: str | None) -> str:
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _available(
    build: Callable[[Rules, str | Path | None], Network],
    rules: Rules,
    weights: str | Path | None,
    device: str,
) -> Network | None:
    """Build a network; if its weights are missing, warn that its metric is left out."""
    try:
        with redirect_stdout(sys.stderr):  # where torch.hub prints its downloads
            return build(rules, weights).to(device)
    except MissingWeights as error:
        warn(f"{rules.name} is left out: {error}")
        return None


def _perceptual_networks(
    rules: Protocol, weights: str | Path | None, device: str
) -> dict[str, PerceptualNetwork]:
    built = [
        (one, _available(perceptual_network, one, weights, device)) for one in rules.perceptual
    ]
    return {one.name: network for one, network in built if network is not None}


def check_networks(protocol: str | Protocol) -> None:
    """Raise MissingWeights if any of the protocol's networks has no weights.

    For callers that need every metric: `evaluate` only warns and leaves the metric out.
    """
    rules = get_protocol(protocol)
    for perceptual in rules.perceptual:
        perceptual_network(perceptual)
    for frechet in rules.frechet:
        frechet_network(frechet)


def _warn_if_squashed(matches: Sequence[Match], rules: Protocol, own: Size) -> None:
    sizes = scored_sizes(rules.pixels, own)
    if own not in sizes:
        warn(
            f"results in {matches[0].result.parent} are {own[1]}x{own[0]} (width x height); "
            f"protocol '{rules.name}' scores {sizes[-1][1]}x{sizes[-1][0]}: they are squashed"
        )


def _references(reference_dir: str | Path, match: Match, rules: Protocol, own: Size) -> References:
    """Open the references; warns if the protocol enlarges them, or would begin with larger ones."""
    sizes = scored_sizes(rules.pixels, own)
    references = References(reference_dir, sizes[0])
    height, width = references.require(match.target).read().shape[:2]
    if (height, width) not in sizes and height < sizes[0][0]:
        warn(
            f"references in {reference_dir} are {width}x{height} (width x height); protocol "
            f"'{rules.name}' scores {sizes[0][1]}x{sizes[0][0]}: they are enlarged"
        )
    elif isinstance(references.store, LmdbStore) and not begins_with(rules, own, (height, width)):
        warn(
            f"references in {reference_dir} come from an LMDB of {width}x{height} (width x height)"
            f"; protocol '{rules.name}' begins with the originals, so its numbers differ a "
            "little: for its own, give `xmdpt evaluate --reference` and --train a folder of files"
        )
    return references


def _distinct(pictures: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Return the distinct pictures, and for each of `pictures` its index among them."""
    place: dict[bytes, int] = {}
    rows = [place.setdefault(picture.tobytes(), len(place)) for picture in pictures]
    return [pictures[rows.index(index)] for index in range(len(place))], rows


@torch.no_grad()
def _perceptual(
    network: PerceptualNetwork,
    sides: Sequence[Sequence[np.ndarray]],
    rules: Perceptual,
    own: Size,
    device: str,
    pool: ThreadPoolExecutor,
) -> list[float]:
    """Return a batch's distances; the network sees a picture shared by several pairs once."""
    layers = []
    for pictures in sides:
        distinct, rows = _distinct(pictures)
        x = as_input(distinct, rules.steps, own, device, pool)
        with full_float32():
            features = network.features(x if rules.signed else (x + 1) / 2)
        layers.append([layer[torch.tensor(rows, device=device)] for layer in features])
    distances: list[float] = network.distance(*layers).tolist()
    return distances


def _ssim(prediction: np.ndarray, target: np.ndarray, rules: SSIM) -> float:
    full = 255.0 if rules.data_range == "full" else None
    if rules.borders == "cut" or rules.sigma is None:
        return ssim(prediction, target, rules.sigma, window=rules.window, data_range=full)
    from torchmetrics.functional.image import (  # seconds of imports, for one protocol
        structural_similarity_index_measure,
    )

    a, b = (torch.tensor(x, dtype=torch.float64).movedim(-1, 0)[None] for x in (prediction, target))
    value = structural_similarity_index_measure(a, b, sigma=rules.sigma, data_range=full)
    assert isinstance(value, Tensor), "no picture of similarities was asked for"
    return value.item()


def _pixel_metrics(
    result: np.ndarray, reference: np.ndarray, rules: Protocol, own: Size
) -> dict[str, float]:
    a, b = (prepare(picture, rules.pixels, own) for picture in (result, reference))
    values = {one.name: _ssim(a, b, one) for one in rules.ssim} | {"psnr": psnr(a, b)}
    if rules.outlines:
        values |= {"silhouette_iou": silhouette_iou(a, b), "sharpness": sharpness(a, b)}
    return values


def _score_batch(
    batch: Sequence[Match],
    references: References,
    rules: Protocol,
    own: Size,
    networks: Mapping[str, PerceptualNetwork],
    device: str,
    generated_dir: Path,
    pool: ThreadPoolExecutor,
) -> pd.DataFrame:
    """Return the rows of `evaluate_pairs` for one batch."""
    results = list(pool.map(read_picture, [match.result for match in batch]))
    targets = list(dict.fromkeys(match.target for match in batch))
    found = pool.map(Picture.read, map(references.require, targets))
    known = dict(zip(targets, found, strict=True))
    truths = [known[match.target] for match in batch]
    labels = pd.DataFrame([{name: getattr(match, name) for name in LABELS} for match in batch])
    scores = pool.map(_pixel_metrics, results, truths, repeat(rules), repeat(own))
    table = labels.join(pd.DataFrame(list(scores)))
    for one in rules.perceptual:
        if one.name in networks:
            sides = (results, truths)
            table[one.name] = _perceptual(networks[one.name], sides, one, own, device, pool)
    table["result"] = [path.relative_to(generated_dir).as_posix() for path in table["result"]]
    return table


def _blank_dropped(table: pd.DataFrame, rules: Perceptual) -> None:
    """Blank a distance in the rows that the protocol drops: the last ones by file name."""
    by_name = table["result"].map(lambda result: Path(result).name).sort_values().index
    dropped = by_name[kept(len(table), rules.batch_size, rules.drop_last) :]
    table.loc[dropped, rules.name] = np.nan


def evaluate_pairs(
    generated_dir: str | Path,
    reference_dir: str | Path,
    protocol: str | Protocol = "pidm",
    *,
    only: Collection[Pair] | None = None,
    any_shape: bool = False,
    weights: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    store: RowStore | None = None,
) -> pd.DataFrame:
    """Score every result against its reference: one row per pair, sorted by target, then source.

    Columns: `result` (path in the folder), `person`, `source`, `target`, then the protocol's
    metrics of single pictures; rows of a dropped batch have no perceptual distance. `only` limits
    the (source, target) pairs; `weights` is a folder to look for networks in first; `any_shape` is
    as for `inspect`. With `store`, the rows of finished batches are kept there for other processes,
    and the table has its share alone. Raises DataError if no result has a reference, and as
    `inspect` does.
    """
    rules, device = get_protocol(protocol), _device(device)
    matches = match_results(generated_dir, reference_dir)
    if only is not None:
        matches = [match for match in matches if match.pair in only]
    if not matches:
        raise DataError(f"{generated_dir}: has no result of any pair to score")
    own = inspect(matches, References(reference_dir), any_shape).size
    _warn_if_squashed(matches, rules, own)
    references = _references(reference_dir, matches[0], rules, own)
    networks = _perceptual_networks(rules, weights, device)
    bar = tqdm(total=len(matches), desc="pairs", unit="pair", disable=not progress or None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        place = Path(generated_dir)

        def score(batch: Sequence[Match]) -> pd.DataFrame:
            rows = _score_batch(batch, references, rules, own, networks, device, place, pool)
            bar.update(len(batch))
            return rows

        key = "" if store is None else _rows_key(matches, references, rules, own, networks)
        tables = score_batches([*batches(matches, BATCH)], score, store, key)
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*LABELS])
    for one in rules.perceptual:
        if one.name in networks and len(table) == len(matches):
            _blank_dropped(table, one)
    return table


def _rows_key(
    matches: Sequence[Match],
    references: References,
    rules: Protocol,
    own: Size,
    networks: Mapping[str, PerceptualNetwork],
) -> str:
    """Return a key for all that the rows of these pairs depend on."""
    truths = {match.target: references.require(match.target).digest() for match in matches}
    results = [[file_digest(match.result), match.source, match.target] for match in matches]
    return fingerprint(results, truths, asdict(rules), own, weights_key(networks.values()))


def training_statistics(
    train_dir: str | Path,
    protocol: str | Protocol,
    own: Size,
    *,
    weights: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, Statistics]:
    """Return the training pictures' side of the protocol's distances, to share between calls.

    `train_dir` is as for `training_pictures`; `own` is the results' (height, width), to which
    some protocols resize training pictures. A distance whose network has no weights is left out
    with a warning.
    """
    rules, device = get_protocol(protocol), _device(device)
    pictures = training_pictures(train_dir, scored_sizes(rules.pixels, own)[0])
    found = {}
    for one in rules.frechet:
        network = _available(frechet_network, one, weights, device)
        if network is not None:
            found[one.name] = picture_statistics(
                pictures, network, one, own, device=device, cache_dir=cache_dir, progress=progress
            )
    return found


def _distances(
    pictures: Sequence[Picture],
    own: Size,
    train: Mapping[str, Statistics],
    rules: Protocol,
    weights: str | Path | None,
    device: str,
    progress: bool,
) -> dict[str, float]:
    values: dict[str, float] = {}
    if len(pictures) < 2:
        warn("distances to the training pictures are left out: there is only one result")
        return values
    for one in rules.frechet:
        if one.name not in train:
            continue
        if train[one.name].rules != one:
            raise DataError(
                f"train_dir: its {one.name} was made for another protocol than '{rules.name}'; "
                "call training_statistics with this one"
            )
        reference, network = train[one.name], frechet_network(one, weights).to(device)
        # Baselines and limits repeat a picture for every pair that has it.
        features, same = pooled_features(
            pictures, network, one, own, device=device, progress=progress
        )
        values[one.name] = frechet_distance(features, reference.moments)
        infinity = frechet_infinity(features, reference.moments, pictures=same)
        if not np.isnan(infinity):
            values[f"{one.name}_infinity"] = infinity
        values[one.kernel] = kernel_distance(features, reference.features, reference.within, same)
    return values


def evaluate(
    generated_dir: str | Path,
    reference_dir: str | Path,
    train_dir: str | Path | Mapping[str, Statistics] | None = None,
    protocol: str | Protocol = "pidm",
    *,
    pairs: pd.DataFrame | None = None,
    weights: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """Score results named `<source>_2_<target>_vis.png` under a protocol: metric -> value.

    `reference_dir` and `train_dir` hold pictures in any layout that `DeepFashion` reads, or loose
    ones. Without `train_dir`, which may also be what `training_statistics` returns, there are no
    distances to training pictures; their statistics are cached in `cache_dir`. `pairs` is the
    table of `evaluate_pairs` if you have it; `weights` is a folder to look for networks in first.

    `count` is the number of pairs; psnr averages the pairs that differ at all. Metrics without
    weights are left out with a warning. Raises DataError if no result has a reference, ConfigError
    for an unknown protocol; both are ValueErrors.
    """
    rules, device = get_protocol(protocol), _device(device)
    options: Options = {"weights": weights, "device": device, "progress": progress}
    if pairs is None:
        pairs = evaluate_pairs(generated_dir, reference_dir, rules, **options)
    values = {name: _mean(pairs[name]) for name in pairs.columns if name not in LABELS}
    if train_dir is not None:
        places = {name: name for name in pairs["result"]}
        store = FolderStore(Path(generated_dir), places)
        pictures = [Picture(store, name) for name in places]
        own = picture_size(Path(generated_dir) / pairs["result"].iloc[0])
        if not isinstance(train_dir, Mapping):
            train_dir = training_statistics(train_dir, rules, own, cache_dir=cache_dir, **options)
        values |= _distances(pictures, own, train_dir, rules, weights, device, progress)
    return values | {"count": float(len(pairs))}


def _mean(values: ArrayLike) -> float:
    """Return the mean of the finite values; if there are none, of all (infinite PSNR, or nan)."""
    numbers = np.asarray(values, dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    return float(finite.mean() if len(finite) else numbers.mean())

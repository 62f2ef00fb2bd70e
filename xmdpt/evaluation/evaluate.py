"""Score a folder of results against references under a protocol."""

import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from itertools import repeat
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from xmdpt.data.stores import DataError, FolderStore, read_picture
from xmdpt.evaluation.features import (
    THREADS,
    Statistics,
    as_input,
    picture_statistics,
    pooled_features,
)
from xmdpt.evaluation.networks import frechet_network, perceptual_network
from xmdpt.evaluation.preparation import prepare, scored_sizes
from xmdpt.evaluation.protocols import SSIM, Frechet, Perceptual, Protocol, Size, get_protocol
from xmdpt.evaluation.results import (
    EvaluationWarning,
    Match,
    Pair,
    Picture,
    References,
    batches,
    kept,
    match_results,
    training_pictures,
)
from xmdpt.metrics.frechet import frechet_distance, frechet_infinity, kernel_distance
from xmdpt.metrics.images import psnr, silhouette_iou, ssim
from xmdpt.metrics.labels import LABELS
from xmdpt.support.hub import MissingWeights
from xmdpt.support.precision import full_float32

BATCH = 32  # pairs in memory at a time
STRIP = 1.5  # times as wide as high: not one person any more

Rules = TypeVar("Rules", Perceptual, Frechet)


def _device(device: str | None) -> str:
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _available(
    build: Callable[[Rules, str | Path | None], nn.Module],
    rules: Rules,
    weights: str | Path | None,
    device: str,
) -> nn.Module | None:
    """Build a network, or warn that its metric is left out because its weights are missing."""
    try:
        with redirect_stdout(sys.stderr):  # torch.hub tells there what it fetches
            return build(rules, weights).to(device)
    except MissingWeights as error:
        warnings.warn(f"{rules.name} is left out: {error}", EvaluationWarning, stacklevel=3)
        return None


def check_networks(protocol: str | Protocol) -> None:
    """Raise MissingWeights where a network of the protocol is not at hand.

    For whoever cannot go without one of its metrics: `evaluate` only warns and leaves it out.
    """
    rules = get_protocol(protocol)
    for perceptual in rules.perceptual:
        perceptual_network(perceptual)
    for frechet in rules.frechet:
        frechet_network(frechet)


def result_size(path: Path) -> Size:
    """Return a result's height and width; DataError if it is a strip of several pictures."""
    height, width = read_picture(path).shape[:2]
    if width > STRIP * height:
        raise DataError(
            f"{path} is {width}x{height}: a strip of several pictures? Cut out the generated one"
        )
    return height, width


def _size(matches: Sequence[Match], rules: Protocol) -> Size:
    """The results' size; warns if the protocol squashes it."""
    own = result_size(matches[0].result)
    sizes = scored_sizes(rules.pixels, own)
    if own not in sizes:
        warnings.warn(
            f"results in {matches[0].result.parent} are {own[1]}x{own[0]} (width x height); "
            f"protocol '{rules.name}' scores {sizes[-1][1]}x{sizes[-1][0]}: they are squashed",
            EvaluationWarning,
            stacklevel=3,
        )
    return own


def _references(reference_dir: str | Path, match: Match, rules: Protocol, own: Size) -> References:
    """What results are held against; warns where the protocol enlarges it."""
    sizes = scored_sizes(rules.pixels, own)
    references = References(reference_dir, sizes[0])
    height, width = references.require(match.target).read().shape[:2]
    if (height, width) not in sizes and height < sizes[0][0]:
        warnings.warn(
            f"references in {reference_dir} are {width}x{height} (width x height); protocol "
            f"'{rules.name}' scores {sizes[0][1]}x{sizes[0][0]}: they are enlarged",
            EvaluationWarning,
            stacklevel=3,
        )
    return references


def _distinct(pictures: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """The different pictures among `pictures`, and which of them each one is."""
    place: dict[bytes, int] = {}
    rows = [place.setdefault(picture.tobytes(), len(place)) for picture in pictures]
    return [pictures[rows.index(index)] for index in range(len(place))], rows


@torch.no_grad()
def _perceptual(
    network: nn.Module,
    sides: Sequence[Sequence[np.ndarray]],
    rules: Perceptual,
    own: Size,
    device: str,
    pool: ThreadPoolExecutor,
) -> list[float]:
    """Distances of a batch; a picture that several pairs share passes the network once."""
    layers = []
    for pictures in sides:
        distinct, rows = _distinct(pictures)
        x = as_input(distinct, rules.steps, own, device, pool)
        with full_float32():
            features = network.features(x if rules.signed else (x + 1) / 2)
        layers.append([layer[torch.tensor(rows, device=device)] for layer in features])
    return network.distance(*layers).tolist()


def _pixel_metrics(
    result: np.ndarray, reference: np.ndarray, rules: Protocol, own: Size
) -> dict[str, float]:
    a, b = (prepare(picture, rules.pixels, own) for picture in (result, reference))
    values = {one.name: ssim_of(a, b, one) for one in rules.ssim} | {"psnr": psnr(a, b)}
    return values | ({"silhouette_iou": silhouette_iou(a, b)} if rules.silhouettes else {})


def ssim_of(prediction: np.ndarray, target: np.ndarray, rules: SSIM) -> float:
    """Return the structural similarity that a protocol's record defines."""
    full = 255.0 if rules.data_range == "full" else None
    if rules.borders == "cut":
        return ssim(prediction, target, rules.sigma, window=rules.window, data_range=full)
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (torch.tensor(x, dtype=torch.float64).movedim(-1, 0)[None] for x in (prediction, target))
    value = structural_similarity_index_measure(a, b, sigma=rules.sigma, data_range=full)
    return value.item()


def _read_results(batch: Sequence[Match], own: Size, pool: ThreadPoolExecutor) -> list[np.ndarray]:
    results = list(pool.map(read_picture, [match.result for match in batch]))
    for match, picture in zip(batch, results, strict=True):
        if picture.shape[:2] != own:
            height, width = picture.shape[:2]
            raise DataError(
                f"{match.result} is {width}x{height}, others in its folder are {own[1]}x{own[0]} "
                "(width x height); results of one method have one size"
            )
    return results


def _score_batch(
    batch: Sequence[Match],
    references: References,
    rules: Protocol,
    own: Size,
    networks: Mapping[str, nn.Module],
    device: str,
    pool: ThreadPoolExecutor,
) -> pd.DataFrame:
    """Rows of `evaluate_pairs` for one batch."""
    results = _read_results(batch, own, pool)
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
    return table


def evaluate_pairs(
    generated_dir: str | Path,
    reference_dir: str | Path,
    protocol: str | Protocol = "pidm",
    *,
    only: Collection[Pair] | None = None,
    weights: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every result against its reference: one row a pair, sorted by target, then source.

    Columns: `result` (path in the folder), `person`, `source`, `target`, then the protocol's
    metrics of single pictures. Where it drops a partial batch, those rows lack the perceptual one.
    `only` keeps to these (source, target); `weights` is a folder to look for networks in first.
    Raises DataError where no result has a reference, and warns of those that have none.
    """
    rules, device = get_protocol(protocol), _device(device)
    matches = match_results(generated_dir, reference_dir)
    if only is not None:
        matches = [match for match in matches if match.pair in only]
        if not matches:
            raise DataError(f"{generated_dir}: none of its results is of a pair to score")
    own = _size(matches, rules)
    references = _references(reference_dir, matches[0], rules, own)
    built = {
        one.name: _available(perceptual_network, one, weights, device) for one in rules.perceptual
    }
    networks = {name: network for name, network in built.items() if network is not None}
    tables = []
    bar = tqdm(total=len(matches), desc="pairs", unit="pair", disable=not progress or None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        for batch in batches(matches, BATCH):
            tables.append(_score_batch(batch, references, rules, own, networks, device, pool))
            bar.update(len(batch))
    table = pd.concat(tables, ignore_index=True)
    table["result"] = [path.relative_to(generated_dir).as_posix() for path in table["result"]]
    by_name = table["result"].map(lambda result: Path(result).name).sort_values().index
    for one in rules.perceptual:
        if one.name in networks:
            dropped = by_name[kept(len(table), one.batch_size, one.drop_last) :]
            table.loc[dropped, one.name] = np.nan
    return table


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
    """Return what the protocol's Frechet distances are taken against, to be shared by calls.

    `train_dir` is as `training_pictures` takes it; `own` (height, width) is the results' size,
    which some protocols bring training pictures to.
    A distance whose network's weights are missing is left out with a warning.
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
        message = "distances to the training pictures are left out: there is only one result"
        warnings.warn(message, EvaluationWarning, stacklevel=3)
        return values
    for one in rules.frechet:
        if one.name not in train:
            continue
        reference, network = train[one.name], frechet_network(one, weights).to(device)
        options = {"device": device, "progress": progress}
        # Baselines and limits repeat a picture for each pair that has it.
        features, same = pooled_features(pictures, network, one, own, **options)
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

    `reference_dir` holds pictures in any layout that `DeepFashion` reads, or loose, below folders
    or flat under mangled names. `train_dir` (the same, see `training_pictures`, or what
    `training_statistics` returns) is what Frechet and kernel distances are taken against; without
    it there are none. `pairs` may hold the table of `evaluate_pairs`, if it was made already;
    `weights` is a folder to look for networks in first, `cache_dir` one to keep the training
    pictures' statistics in.

    `count` is the number of pairs; psnr averages the pairs that differ at all. Metrics whose
    weights are not to be had are left out with a warning. Raises DataError where no result has a
    reference, ConfigError where the protocol is unknown; both are ValueErrors.
    """
    rules, device = get_protocol(protocol), _device(device)
    options = {"weights": weights, "device": device, "progress": progress}
    if pairs is None:
        pairs = evaluate_pairs(generated_dir, reference_dir, rules, **options)
    values = {name: mean_value(pairs[name]) for name in pairs.columns if name not in LABELS}
    if train_dir is not None:
        places = {name: name for name in pairs["result"]}
        store = FolderStore(Path(generated_dir), places)
        pictures = [Picture(store, name) for name in places]
        own = result_size(Path(generated_dir) / pairs["result"][0])
        if not isinstance(train_dir, Mapping):
            train_dir = training_statistics(train_dir, rules, own, cache_dir=cache_dir, **options)
        values |= _distances(pictures, own, train_dir, rules, **options)
    return values | {"count": float(len(pairs))}


def mean_value(values: Sequence[float]) -> float:
    """Return the mean of the finite values; of none, that of all (infinite PSNR, or nan)."""
    values = np.asarray(values, dtype=np.float64)
    finite = values[np.isfinite(values)]
    return float(finite.mean() if len(finite) else values.mean())

"""Score a folder of results against references under a protocol."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from xmdpt.data.deepfashion import read_picture
from xmdpt.evaluation.frechet import Moments, frechet_distance, moments
from xmdpt.evaluation.protocols import (
    MissingWeights,
    Protocol,
    Size,
    frechet_network,
    get_protocol,
    perceptual_network,
    resize,
)
from xmdpt.evaluation.results import (
    Match,
    batches,
    match_results,
    training_pictures,
)
from xmdpt.image_metrics import psnr, silhouette_iou, ssim
from xmdpt.pictures import to_signed

LABELS = ("result", "person", "source", "target")


def _device(device: str | None) -> str:
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _available(build: Callable[[Protocol], nn.Module], rules: Protocol) -> nn.Module | None:
    """Build a network, or warn that its metric is left out because its weights are missing."""
    try:
        return build(rules)
    except MissingWeights as error:
        warnings.warn(f"left out of protocol '{rules.name}': {error}", stacklevel=3)
        return None


def _reader(rules: Protocol, size: Size) -> Callable[[Path], np.ndarray]:
    return lambda path: resize(read_picture(path), size, rules.resize)


def _deep(pictures: Sequence[np.ndarray], rules: Protocol, device: str) -> Tensor:
    small = [resize(picture, rules.deep_size, rules.deep_resize) for picture in pictures]
    return to_signed(np.stack(small)).to(device)


def _size(matches: Sequence[Match], rules: Protocol) -> Size:
    """The size to score at; warns if results have another one and are squashed to it."""
    height, width = read_picture(matches[0].result).shape[:2]
    size = rules.size or (height, width)
    if size != (height, width):
        warnings.warn(
            f"results are {width}x{height}; protocol '{rules.name}' scores {size[1]}x{size[0]}: "
            "they are squashed to it",
            stacklevel=3,
        )
    return size


def _distinct(pictures: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """The different pictures among `pictures`, and which of them each one is."""
    place: dict[bytes, int] = {}
    rows = [place.setdefault(picture.tobytes(), len(place)) for picture in pictures]
    return [pictures[rows.index(index)] for index in range(len(place))], rows


@torch.no_grad()
def _perceptual(
    network: nn.Module,
    results: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    rules: Protocol,
    device: str,
) -> list[float]:
    """Distances of one batch; a picture that several pairs share passes the network once."""
    layers = []
    for pictures in (results, references):
        distinct, rows = _distinct(pictures)
        features = network.features(_deep(distinct, rules, device))
        layers.append([layer[torch.tensor(rows, device=device)] for layer in features])
    return network.distance(*layers).tolist()


def _score_batch(
    batch: Sequence[Match], rules: Protocol, size: Size, network: nn.Module | None, device: str
) -> pd.DataFrame:
    """Rows of `evaluate_pairs` for one batch."""
    read = _reader(rules, size)
    metrics = {
        "ssim": lambda a, b: ssim(a, b, rules.ssim_sigma),
        "psnr": psnr,
        "silhouette_iou": silhouette_iou,
    }
    results = [read(match.result) for match in batch]
    known = {path: read(path) for path in {match.reference for match in batch}}
    references = [known[match.reference] for match in batch]
    table = pd.DataFrame([{name: getattr(match, name) for name in LABELS} for match in batch])
    for name in rules.pair_metrics:
        table[name] = list(map(metrics[name], results, references))
    if network is not None:
        table[rules.perceptual] = _perceptual(network, results, references, rules, device)
    return table


def evaluate_pairs(
    generated_dir: str | Path,
    reference_dir: str | Path,
    protocol: str | Protocol = "pidm",
    *,
    device: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every result against its reference: one row a pair, sorted by target, then source.

    Columns: `result` (path in the folder), `person`, `source`, `target`, then the protocol's
    metrics of single pictures. Where it drops a partial batch, those rows lack the perceptual one.
    Raises ValueError where no result has a reference, and warns of those that have none.
    """
    rules, device = get_protocol(protocol), _device(device)
    matches = match_results(generated_dir, reference_dir)
    size = _size(matches, rules)
    network = _available(perceptual_network, rules) if rules.perceptual else None
    if network is not None:
        network = network.to(device)
    tables = []
    with tqdm(total=len(matches), desc="pairs", unit="pair", disable=not progress or None) as bar:
        for batch in batches(matches, rules.batch_size):
            tables.append(_score_batch(batch, rules, size, network, device))
            bar.update(len(batch))
    table = pd.concat(tables, ignore_index=True)
    table["result"] = [path.relative_to(generated_dir).as_posix() for path in table["result"]]
    if network is not None and rules.drop_last:
        kept = sum(map(len, batches(matches, rules.batch_size, drop_last=True)))
        table.loc[kept:, rules.perceptual] = np.nan
    return table


def pooled_features(
    pictures: Sequence[Path],
    network: nn.Module,
    rules: Protocol,
    size: Size,
    *,
    device: str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Return the Frechet network's features (N, D) of picture files, squashed to `size` first.

    A picture met before, as baselines' are, does not pass the network again.
    """
    read, device = _reader(rules, size), _device(device)
    known: dict[bytes, np.ndarray] = {}
    rows = []
    with tqdm(
        total=len(pictures), desc="features", unit="picture", disable=not progress or None
    ) as bar:
        for batch in batches(pictures, rules.batch_size, rules.drop_last):
            read_batch = [read(path) for path in batch]
            digests = [hashlib.sha256(picture.tobytes()).digest() for picture in read_batch]
            pairs = zip(digests, read_batch, strict=True)
            new = {digest: picture for digest, picture in pairs if digest not in known}
            if new:
                features = network.pooled(_deep(list(new.values()), rules, device)).cpu().numpy()
                known |= dict(zip(new, features, strict=True))
            rows += [known[digest] for digest in digests]
            bar.update(len(batch))
    return np.stack(rows)


def training_moments(
    train_dir: str | Path,
    protocol: str | Protocol = "pidm",
    size: Size | None = None,
    *,
    device: str | None = None,
    progress: bool = True,
) -> Moments | None:
    """Return mean and covariance of the training pictures' features, to be shared by calls.

    `train_dir` is a data set root with `train.lst`, or a folder whose pictures all count. `size`
    (height, width) is the results', for a protocol that has none of its own. None where the
    network's weights are missing, with a warning.
    """
    rules, device = get_protocol(protocol), _device(device)
    size = rules.size or size
    if size is None:
        raise ValueError(f"protocol '{rules.name}' scores at the results' size: give `size`")
    network = _available(frechet_network, rules)
    if network is None:
        return None
    files, network = training_pictures(train_dir), network.to(device)
    return moments(pooled_features(files, network, rules, size, device=device, progress=progress))


def _frechet(
    files: Sequence[Path],
    train_dir: str | Path | Moments,
    rules: Protocol,
    device: str,
    progress: bool,
) -> dict[str, float]:
    height, width = read_picture(files[0]).shape[:2]
    size = rules.size or (height, width)
    options = {"device": device, "progress": progress}
    train = train_dir
    if not isinstance(train, tuple):
        train = training_moments(train, rules, size, **options)
    network = _available(frechet_network, rules) if train is not None else None
    if network is None:
        return {}
    features = pooled_features(files, network.to(device), rules, size, **options)
    return {rules.frechet: frechet_distance(features, train)}


def evaluate(
    generated_dir: str | Path,
    reference_dir: str | Path,
    train_dir: str | Path | Moments | None = None,
    protocol: str | Protocol = "pidm",
    *,
    pairs: pd.DataFrame | None = None,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """Score results named `<source>_2_<target>_vis.png` under a protocol: metric -> value.

    References lie anywhere below `reference_dir`, in DeepFashion's folders or flat under mangled
    names. `train_dir` (a data set root with `train.lst`, a folder, or the moments that
    `training_moments` returns) is what the Frechet distance is taken against; without it there is
    none. `pairs` may hold the table of `evaluate_pairs`, if it was made already.

    `count` is the number of pairs; psnr averages the pairs that differ at all. Metrics whose
    weights are not on disk are left out with a warning. Raises ValueError where no result has a
    reference, or the protocol is unknown.
    """
    rules, device = get_protocol(protocol), _device(device)
    if pairs is None:
        options = {"device": device, "progress": progress}
        pairs = evaluate_pairs(generated_dir, reference_dir, rules, **options)
    values = {name: mean_value(pairs[name]) for name in pairs.columns if name not in LABELS}
    if train_dir is not None:
        files = [Path(generated_dir) / name for name in pairs["result"]]
        values |= _frechet(files, train_dir, rules, device, progress)
    return values | {"count": float(len(pairs))}


def mean_value(values: Sequence[float]) -> float:
    """Return the mean of the finite values; of none, that of all (infinite PSNR, or nan)."""
    values = np.asarray(values, dtype=np.float64)
    finite = values[np.isfinite(values)]
    return float(finite.mean() if len(finite) else values.mean())


def bootstrap_interval(
    values: Sequence[float],
    seed: int,
    groups: Sequence[object] | None = None,
    samples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval (low, high) of the mean of the finite values.

    With `groups`, whole groups are drawn: pairs that show one person are no independent witnesses,
    and an interval over single pairs is too narrow.
    """
    values = np.asarray(values, dtype=np.float64)
    keep = np.isfinite(values)
    labels = np.arange(len(values)) if groups is None else np.asarray(groups, dtype=object)
    codes = pd.factorize(labels[keep])[0]
    if not len(codes):
        return float("nan"), float("nan")
    sums, counts = np.bincount(codes, weights=values[keep]), np.bincount(codes)
    draws = np.random.default_rng(seed).integers(len(counts), size=(samples, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

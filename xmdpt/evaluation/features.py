"""Features of pictures, and the statistics of training pictures that distances need."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from xmdpt.evaluation.networks import FeatureNetwork
from xmdpt.evaluation.preparation import follows_results, prepare
from xmdpt.evaluation.protocols import Frechet, Size, Step
from xmdpt.evaluation.results import READING, THREADS, Picture, batches
from xmdpt.metrics.frechet import Moments, kernel_within, moments
from xmdpt.support.files import atomic_path, code_key, fingerprint
from xmdpt.support.hub import weights_key
from xmdpt.support.pictures import to_signed
from xmdpt.support.place import own_cache
from xmdpt.support.precision import full_float32

CODE = (
    *("evaluation/features.py", "evaluation/networks.py", "evaluation/preparation.py"),
    *("evaluation/results.py", "features/encoders.py", "metrics/frechet.py", *READING),
)
"""The code between stored pictures and their statistics."""


def default_cache() -> Path:
    """Return the folder for cached statistics, below XDG_CACHE_HOME or ~/.cache."""
    return own_cache() / "statistics"


@dataclass(frozen=True)
class Statistics:
    """One side of a distance: features (N, D), their moments, the mean of their kernel.

    rules: by which the features were made.
    """

    features: np.ndarray
    moments: Moments
    within: float
    rules: Frechet


def as_input(
    pictures: Sequence[np.ndarray],
    steps: Sequence[Step],
    own: Size,
    device: str,
    pool: ThreadPoolExecutor,
) -> Tensor:
    """Prepare pictures, uint8 (H, W, 3), as a network's batch (B, 3, H, W) in [-1, 1]."""
    prepared = pool.map(prepare, pictures, repeat(steps), repeat(own))
    return to_signed(np.stack([*prepared])).to(device)


def _read(picture: Picture) -> tuple[np.ndarray, bytes]:
    """Read a picture, and what tells it from others."""
    read = picture.read()
    digest = hashlib.sha256(repr(read.shape).encode())
    digest.update(read.data)
    return read, digest.digest()


def pooled_features(
    pictures: Sequence[Picture],
    network: FeatureNetwork,
    rules: Frechet,
    own: Size,
    *,
    device: str,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures' features (N, D), and ids (N,) that identical pictures share.

    `own` is the results' size. One batch is in memory at a time. A picture seen before, which is
    common among baselines, is not run through the network again.
    """
    places: dict[bytes, int] = {}
    features: list[np.ndarray] = []
    rows: list[int] = []
    bar = tqdm(total=len(pictures), desc=rules.name, unit="picture", disable=not progress or None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        for batch in batches(pictures, rules.batch_size, rules.drop_last):
            found = list(pool.map(_read, batch))
            digests = [digest for _, digest in found]
            new = {digest: picture for picture, digest in found if digest not in places}
            if new:
                x = as_input(list(new.values()), rules.steps, own, device, pool)
                with full_float32():
                    pooled = network.pooled(x)
                places |= dict(zip(new, range(len(places), len(places) + len(new)), strict=True))
                features += [*pooled.cpu().numpy()]
            rows += [places[digest] for digest in digests]
            bar.update(len(batch))
    same = np.array(rows)
    return np.stack(features)[same], same


def _key(pictures: Sequence[Picture], network: FeatureNetwork, rules: Frechet, own: Size) -> str:
    """Return a key for exactly these statistics: pictures' bytes, weights, rules and code."""
    size = own if follows_results(rules.steps) else None
    with ThreadPoolExecutor(THREADS) as pool:
        digests = list(pool.map(Picture.digest, pictures))
    return fingerprint(digests, weights_key([network]), asdict(rules), size, code_key(*CODE))


def _digest(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """The SHA-256 of some arrays as uint8 (32,), to be kept beside them."""
    digest = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype} {values.shape} ".encode() + values.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def picture_statistics(
    pictures: Sequence[Picture],
    network: FeatureNetwork,
    rules: Frechet,
    own: Size,
    *,
    device: str,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> Statistics:
    """Return the statistics of training pictures, cached in `cache_dir` if one is given.

    The key is made of the pictures' bytes, the network's weights, the rules and our code, so a
    cached file is never mistaken for another. A damaged file is replaced.
    """
    path = None
    if cache_dir is not None:
        key = _key(pictures, network, rules, own)
        path = Path(cache_dir) / f"{rules.name}-{key}.safetensors"
        if path.is_file():
            try:
                stored = load_file(path)
                check = stored.pop("digest")
                if np.array_equal(check, _digest(stored)):
                    pair = (stored["mean"], stored["covariance"])
                    return Statistics(stored["features"], pair, float(stored["within"][0]), rules)
            except (SafetensorError, KeyError, TypeError, ValueError):
                pass
            print(f"{path}: not as it was written; made again", file=sys.stderr)
    features, _ = pooled_features(pictures, network, rules, own, device=device, progress=progress)
    mean, covariance = moments(features)
    within = kernel_within(features)
    if path is not None:
        tensors = {"features": features, "mean": mean, "covariance": covariance}
        tensors["within"] = np.array([within])
        with atomic_path(path) as partial:
            save_file(tensors | {"digest": _digest(tensors)}, partial)
    return Statistics(features, (mean, covariance), within, rules)

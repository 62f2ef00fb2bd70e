"""Features of every picture and of its mirror image, computed once, on all available GPUs.

The pictures are split into files of `SHARD_SIZE` (`xmdpt.features.cache` describes their contents).
A file is written under a temporary name and renamed, and then a note beside it records that it is
finished. So a killed run resumes with the missing files, and several processes, or machines, can
divide them among themselves without communicating: `xmdpt.support.shards`.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from xmdpt.config import ConfigError, FeaturesConfig, Precision
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.features.cache import FeatureCache, shard_name
from xmdpt.features.encoders import Kind, TokenEncoder, make_encoder
from xmdpt.features.sizes import cache_bytes, check_disk, readable, stored_types
from xmdpt.support.ends import LOST
from xmdpt.support.files import atomic_path, code_key, fingerprint, resumable_dir, write_json
from xmdpt.support.hub import weights_key
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import full_float32, gpu_count
from xmdpt.support.progress import told
from xmdpt.support.shards import (
    NOTES,
    Shard,
    is_noted,
    made_by,
    note_done,
    pieces_left,
    shared_dir,
)
from xmdpt.support.workers import tensors_by_name

if TYPE_CHECKING:  # a second of imports, and whoever has a VAE has made them
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

SHARD_SIZE = 256
READERS = 8
CODE = (
    *("data/images.py", "data/keypoints.py", "data/stores.py", "features/encoders.py"),
    *("features/make.py", "features/sizes.py", "support/pictures.py"),
)
"""The code between a data set and its features: what other code has begun is begun anew."""
Progress = Callable[[Collection[int]], Iterable[int]]
"""Passes on the shards' numbers and shows how far they are, as tqdm does."""
SHOWN: Progress = partial(told, what="shards of features")


class EncoderArguments(TypedDict):
    """Arguments of `make_encoder`."""

    name: str
    kind: Kind
    imagenet_normalization: bool
    precision: Precision


def source_encoder_arguments(settings: FeaturesConfig) -> EncoderArguments:
    """Arguments of `make_encoder` for the source photo."""
    return {
        "name": settings.source_encoder,
        "kind": "photo",
        "imagenet_normalization": settings.imagenet_normalization,
        "precision": settings.precision,
    }


@dataclass(frozen=True)
class Encoders:
    """The frozen networks: VAE, and token encoders of the source photo and the skeleton picture."""

    vae: "AutoencoderKL"
    source: TokenEncoder
    pose: TokenEncoder

    @classmethod
    def load(cls, vae: "AutoencoderKL", settings: FeaturesConfig) -> "Encoders":
        """`vae` with two token encoders; raises ConfigError, which names all that is missing."""
        source = source_encoder_arguments(settings)
        pose: EncoderArguments = {**source, "name": settings.pose_encoder, "kind": "skeleton"}
        encoders: list[TokenEncoder] = []
        errors: list[str] = []
        for arguments in (source, pose):
            try:
                encoders.append(make_encoder(**arguments))
            except ConfigError as error:
                errors.append(str(error))
        if errors:
            raise ConfigError("; ".join(dict.fromkeys(errors)))
        return cls(vae, *encoders)

    def to(self, device: torch.device) -> "Encoders":
        """Move all three to a device; returns itself."""
        networks: tuple[nn.Module, ...] = (self.vae, self.source, self.pose)
        for network in networks:
            network.to(device)
        return self

    @property
    def key(self) -> str:
        """Hex digits that identify the exact weights, see `weights_key`."""
        networks = (self.vae.encoder, self.vae.quant_conv, self.source, self.pose)
        return weights_key(network for network in networks if network is not None)

    def shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each array's entry for one picture of `size` pixels, mirrored or not."""
        config = self.vae.config
        cells = size // 2 ** (len(config["block_out_channels"]) - 1)
        return {
            "moments": (2 * config["latent_channels"], cells, cells),
            "source_tokens": (self.source.num_tokens(size), self.source.width),
            "pose_tokens": (self.pose.num_tokens(size), self.pose.width),
            "source_pictures": (size, size, 3),
        }

    @torch.no_grad()
    def __call__(
        self, pictures: np.ndarray, skeletons: np.ndarray, source_tokens: bool = True
    ) -> dict[str, Tensor]:
        """uint8 photos and skeletons, (B, H, W, 3) -> float32 arrays (B, ...) by name."""
        photos = to_signed(pictures).to(self.vae.device)
        features = {
            "moments": self.vae.encode(photos).latent_dist.parameters,
            "pose_tokens": self.pose(to_signed(skeletons).to(self.vae.device)),
        }
        return features | ({"source_tokens": self.source(photos)} if source_tokens else {})


# One shard


def _store(values: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float8_e4m3fn:  # has no infinity: clamp large values, keep errors as NaN
        limit = torch.finfo(dtype).max
        values = values.clamp(-limit, limit).where(values.isfinite(), torch.nan)
    return values.to("cpu", dtype)


def _check_finite(array: str, stored: Tensor, names: Sequence[str]) -> None:
    finite = stored.float().flatten(1).isfinite().all(dim=1)
    if not finite.all():
        name = names[int(finite.int().argmin())]
        raise DataError(
            f"{name}: its {array} are not finite; set features.precision: fp32 and "
            "features.storage: bf16, or check the picture and the encoder's weights"
        )


def _batches(
    data: DeepFashion, names: Sequence[str], batch_size: int
) -> Iterator[tuple[Sequence[str], np.ndarray, np.ndarray]]:
    """Names, photos and skeletons (B, S, S, 3) of each batch, prefetched by threads."""
    with ThreadPoolExecutor(READERS) as readers:
        pictures = readers.map(data.picture, names)
        skeletons = readers.map(data.skeleton, names)
        for start in range(0, len(names), batch_size):
            batch = names[start : start + batch_size]
            photos = np.stack([*islice(pictures, len(batch))])
            yield batch, photos, np.stack([*islice(skeletons, len(batch))])


def encode_shard(
    names: Sequence[str], data: DeepFashion, encoders: Encoders, settings: FeaturesConfig
) -> dict[str, Tensor]:
    """The arrays of the pictures `names`, on the CPU, in the types they are stored in."""
    types = stored_types(settings)
    parts: dict[str, list[Tensor]] = {name: [] for name in types}
    for batch, pictures, skeletons in _batches(data, names, settings.batch_size):
        as_is_and_mirrored = [
            encoders(
                np.ascontiguousarray(pictures[:, :, ::step]),
                np.ascontiguousarray(skeletons[:, :, ::step]),
                source_tokens="source_tokens" in types,
            )
            for step in (1, -1)
        ]
        for name in parts:
            if name == "source_pictures":
                parts[name].append(torch.from_numpy(pictures))
            else:
                both = torch.stack([features[name] for features in as_is_and_mirrored], dim=1)
                parts[name].append(_store(both, types[name]))
                _check_finite(name, parts[name][-1], batch)
    return {name: torch.cat(values) for name, values in parts.items()}


# All shards


def _write_shards(
    rank: int,
    count: int,
    folder: Path,
    shards: Mapping[int, Sequence[str]],
    data: DeepFashion,
    encoders: Encoders,
    settings: FeaturesConfig,
    progress: Progress,
) -> None:
    """Write the share of process `rank` out of `count`; each uses its own GPU."""
    if count > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
    if torch.cuda.is_available():
        encoders = encoders.to(torch.device("cuda", rank) if count > 1 else torch.device("cuda"))
    else:
        encoders = encoders.to(torch.device("cpu"))
    for number in progress(Shard(rank, count).of([*shards])):
        with full_float32():
            stored = encode_shard(shards[number], data, encoders, settings)
        path = folder / shard_name(number)
        with atomic_path(path) as partial:
            save_file(stored, partial)
        note_done(folder, number, [path])


Work = tuple[Path, Mapping[int, Sequence[str]], DeepFashion, Encoders, FeaturesConfig, Progress]
"""The arguments that all calls of `_write_shards` share."""


def _launch(processes: int, *work: *Work) -> None:
    """Run `_write_shards` in this process, or in several new ones."""
    if processes == 1:
        _write_shards(0, 1, *work)
        return
    try:
        # Not forked: CUDA cannot be used in a fork of a process that has so much as counted GPUs.
        with tensors_by_name():
            start_processes(_write_shards, (processes, *work), processes, start_method="spawn")
    except ProcessRaisedException as error:
        kind, _, reason = str(error).strip().splitlines()[-1].partition(": ")
        if kind.endswith(DataError.__name__):
            raise DataError(reason) from None
        raise
    except ProcessExitedException as error:
        raise DataError(
            f"a process that computes features {LOST} ({error}); "
            "run the same command to continue from the finished files"
        ) from None


def _key(
    names: Sequence[str], data: DeepFashion, encoders: Encoders, settings: FeaturesConfig
) -> str:
    """Hex digits that identify all that the features depend on: files, weights and settings."""
    files = [[name, data.digest(name)] for name in names]
    return fingerprint(files, data.size, encoders.key, settings.model_dump(exclude={"pictures"}))


def _is_there(folder: Path, key: str, scaling_factor: float) -> bool:
    """Whether `folder` holds the finished features of `key`, whole, as today's code makes them.

    The code, and the factor by which readers scale latents, are not part of the key.
    """
    try:
        cache = FeatureCache(folder)
    except DataError:
        return False
    if (cache.key, cache.scaling_factor, cache.code) != (key, scaling_factor, code_key(*CODE)):
        return False
    try:
        cache.verify()
    except DataError:
        print(f"{folder}: damaged since it was written; made again", file=sys.stderr)
        return False
    return True


def cache_features(
    folder: str | Path,
    names: Sequence[str],
    data: DeepFashion,
    encoders: Encoders,
    settings: FeaturesConfig,
    progress: Progress = SHOWN,
    shard_size: int = SHARD_SIZE,
    processes: int | None = None,
    keep: bool = False,
    shard: Shard | None = None,
) -> None:
    """Write the features of the pictures `names` to `folder`, with one process per GPU.

    Prints the size first. After an interruption, the next call resumes with the missing files;
    where the very same features are there, nothing is done.

    Args:
        encoders: must be on the CPU where there are several processes.
        progress: must be picklable where there are several processes.
        processes: overrides the number of GPUs.
        keep: see `xmdpt.support.files.resumable_dir`.
        shard: writes this share alone, and leaves `folder` to the call without one.

    Raises DataError where the disk is too small, and for a picture whose features are not finite;
    finished files are kept.
    """
    shapes = encoders.shapes(data.size)
    sizes = cache_bytes(shapes, settings, len(names))
    key = _key(names, data, encoders, settings)
    scaling_factor = encoders.vae.config["scaling_factor"]
    if _is_there(Path(folder), key, scaling_factor):
        return
    listed = ", ".join(f"{name} {readable(size)}" for name, size in sizes.items())
    print(f"features of {len(names)} pictures: {listed}; {readable(sum(sizes.values()))} in all")
    parts = [names[i : i + shard_size] for i in range(0, len(names), shard_size)]

    def write_missing(work: Path) -> None:
        missing = pieces_left(work, parts, shard)
        # Other shards fill the same disk.
        left = sum(len(part) for number, part in enumerate(parts) if not is_noted(work, number))
        check_disk(work, shapes, settings, left, len(names))
        if missing:
            count = processes or gpu_count() or 1
            _launch(min(count, len(missing)), work, missing, data, encoders, settings, progress)

    key_of_work = fingerprint(key, shard_size, code_key(*CODE))
    if shard is not None:
        with shared_dir(folder, key_of_work, shard) as work:
            write_missing(work)
        return
    with resumable_dir(folder, key_of_work, keep=keep, scratch=NOTES) as work:
        write_missing(work)
        index = {
            "names": list(names),
            "key": key,
            "code": code_key(*CODE),
            "scaling_factor": scaling_factor,
            "stored": {name: str(dtype) for name, dtype in stored_types(settings).items()},
            "nbytes": sizes,
            "shapes": shapes,
            "source_encoder": source_encoder_arguments(settings),
            "shard_size": shard_size,
            "shards": [made_by(work, number)[shard_name(number)] for number in range(len(parts))],
        }
        write_json(work / "index.json", index)

"""Features of every picture and of its mirror image, computed once, on all GPUs there are.

Work is cut into shards of pictures (`xmdpt.features.cache` says what they hold). A shard is written
under another name and renamed, then noted in a small file beside it; so a killed run goes on with
the shards that are missing, and several processes share them out without talking to each other.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.multiprocessing import ProcessRaisedException, start_processes
from tqdm import tqdm

from xmdpt.config import FeaturesConfig
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.features.cache import shard_name
from xmdpt.features.encoders import make_encoder
from xmdpt.support.files import atomic_path, file_digest, fingerprint, resumable_dir, write_json
from xmdpt.support.hub import weights_key
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import full_float32, gpu_count

SHARD_SIZE = 256
READERS = 8
STORAGE = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8": torch.float8_e4m3fn,
}
Shapes = Mapping[str, tuple[int, ...]]


def source_encoder_arguments(settings: FeaturesConfig) -> dict[str, object]:
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

    vae: AutoencoderKL
    source: nn.Module
    pose: nn.Module

    @classmethod
    def load(cls, vae: AutoencoderKL, settings: FeaturesConfig) -> "Encoders":
        """`vae` with the two token encoders of `settings`."""
        arguments = source_encoder_arguments(settings)
        pose = arguments | {"name": settings.pose_encoder, "kind": "skeleton"}
        return cls(vae, make_encoder(**arguments), make_encoder(**pose))

    def to(self, device: torch.device) -> "Encoders":
        return Encoders(self.vae.to(device), self.source.to(device), self.pose.to(device))

    @property
    def key(self) -> str:
        """A name for the exact weights that features are made with."""
        networks = (self.vae.encoder, self.vae.quant_conv, self.source, self.pose)
        return weights_key(network for network in networks if network is not None)

    def shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each array's entry for one picture of `size` pixels, seen one way round."""
        config = self.vae.config
        cells = size // 2 ** (len(config.block_out_channels) - 1)
        return {
            "moments": (2 * config.latent_channels, cells, cells),
            "source_tokens": (self.source.num_tokens(size), self.source.width),
            "pose_tokens": (self.pose.num_tokens(size), self.pose.width),
            "source_pictures": (size, size, 3),
        }

    @torch.no_grad()
    def __call__(
        self, pictures: np.ndarray, skeletons: np.ndarray, source_tokens: bool = True
    ) -> dict[str, Tensor]:
        """uint8 (B, H, W, 3) photos and skeletons -> float32 arrays by name, one row a picture."""
        photos = to_signed(pictures).to(self.vae.device)
        features = {
            "moments": self.vae.encode(photos).latent_dist.parameters,
            "pose_tokens": self.pose(to_signed(skeletons).to(self.vae.device)),
        }
        return features | ({"source_tokens": self.source(photos)} if source_tokens else {})


# Sizes


def stored_types(settings: FeaturesConfig) -> dict[str, torch.dtype]:
    """The arrays that a cache with these settings holds."""
    tokens = STORAGE[settings.storage]
    if settings.source_tokens == "stored":
        source = {"source_tokens": tokens}
    else:
        source = {"source_pictures": torch.uint8}
    return {"moments": torch.float32, **source, "pose_tokens": tokens}


def cache_bytes(shapes: Shapes, settings: FeaturesConfig, count: int) -> dict[str, int]:
    """Bytes of each array of a cache of `count` pictures, both ways round but for photos."""
    ways = {"source_pictures": 1}
    return {
        name: count * ways.get(name, 2) * int(np.prod(shapes[name])) * dtype.itemsize
        for name, dtype in stored_types(settings).items()
    }


def _readable(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _check_disk(
    folder: Path, shapes: Shapes, settings: FeaturesConfig, missing: int, count: int
) -> None:
    """Refuse what the disk of `folder` cannot hold; `missing` of `count` are still to be stored."""
    free = shutil.disk_usage(folder).free
    need = sum(cache_bytes(shapes, settings, missing).values())
    if need > free:
        smaller = {"storage": "fp8"}, {"storage": "fp8", "source_tokens": "on_the_fly"}
        takes = [
            sum(cache_bytes(shapes, settings.model_copy(update=change), missing).values())
            for change in smaller
        ]
        raise DataError(
            f"{folder.parent}: the features need {_readable(need)} and the disk has "
            f"{_readable(free)} free; make room, put the folder on a larger disk, or set "
            f"features.storage: fp8 ({_readable(takes[0])}), and with it "
            f"features.source_tokens: on_the_fly ({_readable(takes[1])})"
        )
    if need + sum(cache_bytes(shapes, settings, count).values()) > free:
        print(
            "note: DVC copies finished features into its own cache where files cannot share "
            "blocks, and the disk has no room for both; `dvc config cache.type "
            "reflink,hardlink,symlink` keeps one",
            file=sys.stderr,
        )


# One shard


def _store(values: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float8_e4m3fn:  # has no infinity: keep what is large, and what is wrong
        limit = torch.finfo(dtype).max
        values = values.clamp(-limit, limit).where(values.isfinite(), torch.nan)
    return values.to("cpu", dtype)


def _check_finite(array: str, stored: Tensor, names: Sequence[str]) -> None:
    finite = stored.float().flatten(1).isfinite().all(dim=1)
    if not finite.all():
        name = names[int(finite.int().argmin())]
        raise DataError(
            f"{name}: its {array} are not finite; set features.precision: fp32 and "
            "features.storage: bf16, or look at the picture and at the encoder's weights"
        )


def _batches(
    data: DeepFashion, names: Sequence[str], batch_size: int
) -> Iterator[tuple[Sequence[str], np.ndarray, np.ndarray]]:
    """Names, photos and skeletons (B, S, S, 3) of each batch, read ahead by threads."""
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
    """The arrays of the pictures `names`, on the CPU, as they are stored."""
    types = stored_types(settings)
    parts: dict[str, list[Tensor]] = {name: [] for name in types}
    for batch, pictures, skeletons in _batches(data, names, settings.batch_size):
        ways = [
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
                both = torch.stack([way[name] for way in ways], dim=1)
                parts[name].append(_store(both, types[name]))
                _check_finite(name, parts[name][-1], batch)
    return {name: torch.cat(values) for name, values in parts.items()}


# All of them


def _note(folder: Path, shard: int) -> Path:
    """The file that says that a shard is finished, with its length and checksum."""
    return folder / f"{shard:05d}.json"


def _finished(folder: Path, shard: int) -> bool:
    note, path = _note(folder, shard), folder / shard_name(shard)
    return (
        note.exists()
        and path.exists()
        and path.stat().st_size == json.loads(note.read_text())["bytes"]
    )


def _write_shards(
    rank: int,
    count: int,
    folder: Path,
    shards: Mapping[int, Sequence[str]],
    data: DeepFashion,
    encoders: Encoders,
    settings: FeaturesConfig,
    progress: Callable[[Iterable], Iterable],
) -> None:
    """Write the share of process `rank` of `count`; each has a device of its own."""
    if count > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
    encoders = encoders.to(torch.device("cuda", rank) if torch.cuda.is_available() else "cpu")
    mine = [*shards][rank::count]
    for shard in progress(mine):
        with full_float32():
            stored = encode_shard(shards[shard], data, encoders, settings)
        path = folder / shard_name(shard)
        with atomic_path(path) as partial:
            save_file(stored, partial)
        note = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        write_json(_note(folder, shard), note)


def _launch(processes: int, *arguments: object) -> None:
    """Run `_write_shards` in this process, or in one for each GPU, which start afresh."""
    if processes == 1:
        _write_shards(0, 1, *arguments)
        return
    try:
        # Not forked: a process that has only asked for GPUs cannot hand them on.
        start_processes(_write_shards, (processes, *arguments), processes, start_method="spawn")
    except ProcessRaisedException as error:
        kind, _, reason = str(error).strip().splitlines()[-1].partition(": ")
        if kind.endswith(DataError.__name__):
            raise DataError(reason) from None
        raise


def _key(
    names: Sequence[str], data: DeepFashion, encoders: Encoders, settings: FeaturesConfig
) -> str:
    """A name for all that the features depend on: the bytes of the files and the weights."""
    files = [[name, data.digest(name)] for name in names]
    return fingerprint(files, data.size, encoders.key, settings.model_dump())


def cache_features(
    folder: str | Path,
    names: Sequence[str],
    data: DeepFashion,
    encoders: Encoders,
    settings: FeaturesConfig,
    progress: Callable[[Iterable], Iterable] = tqdm,
    shard_size: int = SHARD_SIZE,
    processes: int | None = None,
    keep: bool = False,
) -> None:
    """Write the features of the pictures `names` to `folder`, in one process for each GPU.

    Prints the size first. An interrupted call goes on with the shards that are missing. Raises
    DataError where the disk is too small, or naming a picture whose features are not finite;
    shards that are finished stay. `encoders` must still be on the CPU where there are several
    GPUs, and `progress` a function that can be pickled; `processes` overrules their number.
    `keep`: see `xmdpt.support.files.resumable_dir`.
    """
    shapes = encoders.shapes(data.size)
    sizes = cache_bytes(shapes, settings, len(names))
    listed = ", ".join(f"{name} {_readable(size)}" for name, size in sizes.items())
    print(f"features of {len(names)} pictures: {listed}; {_readable(sum(sizes.values()))} in all")
    shards = dict(enumerate(names[i : i + shard_size] for i in range(0, len(names), shard_size)))
    key = _key(names, data, encoders, settings)
    key_of_shards = fingerprint(key, shard_size)
    with resumable_dir(folder, key_of_shards, keep=keep, scratch="[0-9]*.json") as work:
        missing = {shard: part for shard, part in shards.items() if not _finished(work, shard)}
        left = sum(map(len, missing.values()))
        _check_disk(work, shapes, settings, left, len(names))
        if missing:
            count = processes or gpu_count() or 1
            _launch(min(count, len(missing)), work, missing, data, encoders, settings, progress)
        index = {
            "names": list(names),
            "key": key,
            "scaling_factor": encoders.vae.config.scaling_factor,
            "stored": {name: str(dtype) for name, dtype in stored_types(settings).items()},
            "nbytes": sizes,
            "shapes": shapes,
            "source_encoder": source_encoder_arguments(settings),
            "shard_size": shard_size,
            "shards": [json.loads(_note(work, shard).read_text()) for shard in shards],
        }
        write_json(work / "index.json", index)

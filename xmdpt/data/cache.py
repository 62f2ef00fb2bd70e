"""Features of every picture and of its mirror image, computed once and read from memory maps.

A folder holds, for P pictures, `moments.npy` (P, 2, 2C, H, W) float32 (mean and log-variance of
the VAE's posterior), `source_tokens.npy` (P, 2, M, width) and `pose_tokens.npy` (P, 2, M', width')
float16, and `index.json` with the pictures' names and the scale of the latents. The second axis
is (as is, mirrored); mirroring does not swap left and right colours of the skeleton, as in the
authors' code.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from tqdm import tqdm

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.files import fingerprint, resumable_dir, write_json
from xmdpt.pictures import to_signed
from xmdpt.random import keyed_generator

ARRAYS = {"moments": np.float32, "source_tokens": np.float16, "pose_tokens": np.float16}


@dataclass(frozen=True)
class Encoders:
    """The frozen networks: VAE, and token encoders of the source photo and the skeleton picture."""

    vae: AutoencoderKL
    source: nn.Module
    pose: nn.Module

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray, skeletons: np.ndarray) -> dict[str, Tensor]:
        """uint8 (B, H, W, 3) photos and skeletons -> `ARRAYS` by name, one row a picture."""
        photos = to_signed(pictures)
        return {
            "moments": self.vae.encode(photos).latent_dist.parameters,
            "source_tokens": self.source(photos),
            "pose_tokens": self.pose(to_signed(skeletons)),
        }


def _weights_key(encoders: Encoders) -> str:
    """A name for the exact weights: their sums and sums of absolute values."""
    modules = (encoders.vae.encoder, encoders.vae.quant_conv, encoders.source, encoders.pose)
    tensors = [tensor.double() for module in modules for tensor in module.state_dict().values()]
    return fingerprint([(tensor.sum().item(), tensor.abs().sum().item()) for tensor in tensors])


def _key(names: Sequence[str], data: DeepFashion, encoders: Encoders) -> str:
    """A name for all that the features depend on: pictures, key points and weights."""
    files = [[name, data.digest(name)] for name in names]
    return fingerprint(files, data.size, _weights_key(encoders))


def _open(folder: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.memmap]:
    arrays = {}
    for name, shape in shapes.items():
        path = folder / f"{name}.npy"
        create = partial(np.lib.format.open_memmap, path, "w+", ARRAYS[name], shape)
        arrays[name] = np.lib.format.open_memmap(path, "r+") if path.exists() else create()
    return arrays


def cache_features(
    folder: str | Path,
    names: Sequence[str],
    data: DeepFashion,
    encoders: Encoders,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = tqdm,
) -> None:
    """Write the features of the pictures `names` to `folder`; an interrupted call resumes."""
    key = _key(names, data, encoders)
    with resumable_dir(folder, key) as partial_folder:
        done_path = partial_folder / "done.json"
        done = json.loads(done_path.read_text()) if done_path.exists() else 0
        arrays: dict[str, np.memmap] = {}
        for start in progress(range(done, len(names), batch_size)):
            batch = names[start : start + batch_size]
            pictures = np.stack([data.picture(name) for name in batch])
            skeletons = np.stack([data.skeleton(name) for name in batch])
            for flip in (0, 1):
                step = -1 if flip else 1
                features = encoders(
                    np.ascontiguousarray(pictures[:, :, ::step]),
                    np.ascontiguousarray(skeletons[:, :, ::step]),
                )
                arrays = arrays or _open(
                    partial_folder,
                    {name: (len(names), 2, *value.shape[1:]) for name, value in features.items()},
                )
                for name, value in features.items():
                    arrays[name][start : start + len(batch), flip] = value.cpu().numpy()
            for array in arrays.values():
                array.flush()
            write_json(done_path, start + len(batch))
        done_path.unlink(missing_ok=True)
        scaling_factor = encoders.vae.config.scaling_factor
        index = {"names": list(names), "key": key, "scaling_factor": scaling_factor}
        write_json(partial_folder / "index.json", index)


class FeatureCache:
    """Reads what `cache_features` wrote."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        try:
            index = json.loads((self.folder / "index.json").read_text())
        except FileNotFoundError:
            raise DataError(
                f"{self.folder}/index.json: no such file; the stage `features` makes it"
            ) from None
        self.rows = {name: row for row, name in enumerate(index["names"])}
        self.key: str = index["key"]
        self.scaling_factor: float = index["scaling_factor"]
        self.arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}

    def shape(self, array: str) -> tuple[int, ...]:
        """Shape of one picture's entry in the named array."""
        return self.arrays[array].shape[2:]

    def read(self, array: str, rows: np.ndarray, flips: np.ndarray) -> Tensor:
        """float32 entries (B, ...) of the pictures `rows` (B,), mirrored where `flips` (B,)."""
        return torch.from_numpy(self.arrays[array][rows, flips].astype(np.float32))


def sample_latent(moments: Tensor, noise: Tensor, scaling_factor: float) -> Tensor:
    """Latent (B, C, H, W) drawn from the posterior moments (B, 2C, H, W) with the given noise."""
    mean, log_variance = moments.chunk(2, dim=1)
    std = torch.exp(0.5 * log_variance.clamp(-30, 20))
    return (mean + std * noise) * scaling_factor


@dataclass(frozen=True)
class PairBatches:
    """Training batches of (source, target) pairs, each keyed by (seed, step).

    Half of the samples swap source and target, half are mirrored. The random zoom of the paper
    would need features of every crop; with cached features it is left out.
    """

    cache: FeatureCache
    pairs: Sequence[tuple[str, str]]
    seed: int

    def batch(self, step: int, indices: Tensor) -> dict[str, Tensor]:
        """Latents (B, C, H, W) of target and source, tokens of source photo and target pose."""
        generator = keyed_generator(self.seed, "pairs", step)
        count = len(indices)
        swap = torch.rand(count, generator=generator) < 0.5
        flips = (torch.rand(count, generator=generator) < 0.5).long().numpy()
        rows = np.array(
            [[self.cache.rows[name] for name in self.pairs[index]] for index in indices.tolist()]
        )
        rows = np.where(swap.numpy()[:, None], rows[:, ::-1], rows)
        batch = {
            "source_tokens": self.cache.read("source_tokens", rows[:, 0], flips),
            "pose_tokens": self.cache.read("pose_tokens", rows[:, 1], flips),
        }
        for column, name in enumerate(("source_latent", "target_latent")):
            moments = self.cache.read("moments", rows[:, column], flips)
            noise = torch.randn(moments.chunk(2, dim=1)[0].shape, generator=generator)
            batch[name] = sample_latent(moments, noise, self.cache.scaling_factor)
        return batch

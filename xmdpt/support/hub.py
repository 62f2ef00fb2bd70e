"""Weights of other people's networks, by hub name or local folder: found, or named as missing."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from torch import Tensor, nn

from xmdpt.config import ConfigError

Loaded = TypeVar("Loaded")


def is_folder(name: str) -> bool:
    """Whether `name` means a local folder, there or not, rather than a repository on the hub."""
    return Path(name).is_dir() or name.startswith((".", "/", "~")) or name.count("/") != 1


def reason(error: Exception) -> str:
    """The first sentence of an error, on one line; its type where it says nothing."""
    return " ".join(str(error).split()).partition(". ")[0][:160] or type(error).__name__


def load_pretrained(load: Callable[[str], Loaded], name: str, setting: str) -> Loaded:
    """Call `load(name)`, where `name` is a folder with config.json or a hub repository.

    Raises ConfigError, one line that names the setting, what is missing and where it goes.
    """
    local = is_folder(name)
    if local and not Path(name).is_dir():
        raise ConfigError(f"{setting}: no folder {name}; put the weights there, or name others")
    if local and not (Path(name) / "config.json").is_file():
        raise ConfigError(f"{setting}: {name} holds no config.json, so no network")
    try:
        return load(name)
    except ConfigError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        if local:
            raise ConfigError(
                f"{setting}: {name} holds no readable weights ({reason(error)}); copy it anew"
            ) from None
        raise ConfigError(
            f"{setting}: {name} is no folder here, not in {constants.HF_HUB_CACHE}, and the hub "
            f"did not give it ({reason(error)}). Where there is a network it is fetched; else "
            f"run `hf download {name} --local-dir {Path(name).name}` elsewhere, bring the folder "
            f"here and set {setting} to it"
        ) from None


class MissingWeights(ConfigError):
    """Weights are neither on disk nor to be had; the message says which, and where they go."""


def load_checkpoint(url: str, use: str, folder: str | Path | None = None) -> dict[str, Tensor]:
    """Load a state dict published as a file: from `folder`, torch.hub's folder, or `url`.

    `use` says what for. Raises MissingWeights, one line that names the file, where it goes and
    where it comes from.
    """
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    name = url.rpartition("/")[2]
    places = [Path(place) / name for place in (folder, hub) if place is not None]
    for path in filter(Path.is_file, places):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise MissingWeights(
                f"{use}: {path} holds no readable weights ({reason(error)}); fetch {url} anew"
            ) from None
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise MissingWeights(
            f"{use} needs {' or '.join(map(str, places))}, which is not there and could not be "
            f"fetched ({reason(error)}): bring {url} there. The protocol `synthetic` "
            "needs none of the kind"
        ) from None


def weights_key(networks: Iterable[nn.Module]) -> str:
    """Twelve hex digits that name exact weights: their types, shapes and bytes, in order.

    The same on any device and with any number of threads, as sums would not be.
    """
    digest = hashlib.sha256()
    for network in networks:
        for tensor in network.state_dict().values():
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:12]

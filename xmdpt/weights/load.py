"""Load the weights that draw pictures: a pipeline folder, or the small bundled weights."""

import inspect
import json
import logging
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.utils import logging as logs
from diffusers.utils.constants import SAFETENSORS_WEIGHTS_NAME

from xmdpt.diffusion import XMDPTScheduler
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.photos.loading import PhotoError
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.hub import reason
from xmdpt.support.place import CLONE

BUNDLED = (
    CLONE / "data/pretrained/xmdpt-synthetic" if CLONE else Path(__file__).with_name("bundled")
)
"""The small weights: in a clone where they are kept, else where setup.py puts them in a wheel."""
NETWORKS = ("vae", "transformer", "turbo")
"""The folders of networks; only a pipeline with the preset `turbo` has the last."""
OPTIONS: dict[str, Any] = {
    "dtype": torch.float32,
    "use_safetensors": True,
    "local_files_only": True,
}


def load_pipeline(
    folder: str | Path | None = None, device: str | torch.device | None = None
) -> XMDPTPipeline:
    """Load the pipeline in `folder`, by default the small bundled weights.

    By default it goes to a GPU if there is one. Raises PhotoError if weights are missing or broken;
    nothing is unpickled.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = Path(folder) if folder is not None else BUNDLED
    bars, verbosity = logs.is_progress_bar_enabled(), logs.get_verbosity()
    logs.disable_progress_bar()  # loading is quick, and drawing has its own
    logs.set_verbosity(logging.CRITICAL)  # errors are reported below, once
    try:
        _refuse_variants(chosen)
        if (chosen / "pipeline_xmdpt.py").is_file():
            pipe = _from_export(chosen)
        elif (chosen / "model_index.json").is_file():
            pipe = XMDPTPipeline.from_pretrained(chosen, **OPTIONS)
        elif folder is None:
            raise PhotoError(
                f"{chosen}: the small weights are not there; they come with a clone of the "
                "repository and with its wheel, or choose others with --weights"
            )
        else:
            raise PhotoError(f"{chosen}: no model_index.json there; name a folder of a pipeline")
        _require_whole(pipe)
    except PhotoError:
        raise
    except Exception as error:  # JSON, safetensors, shapes: each library has its own errors
        raise PhotoError(f"{chosen}: cannot be loaded ({reason(error)}); copy it again") from None
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
    try:
        return pipe.to(device)
    except RuntimeError as error:  # the device is full, or not there
        raise PhotoError(
            f"{chosen}: cannot be put on {device} ({reason(error)}); free it, or choose another "
            "with --device"
        ) from None


def _refuse_variants(folder: Path) -> None:
    """Raise PhotoError, which names them, where a network is there in variants alone."""
    for part in NETWORKS:
        names = [path.name for path in sorted((folder / part).glob("*.*.safetensors"))]
        if names and not (folder / part / SAFETENSORS_WEIGHTS_NAME).is_file():
            variants = ", ".join(dict.fromkeys(name.split(".")[1] for name in names))
            raise PhotoError(
                f"{folder / part}: holds the variant {variants} alone; load it with "
                "XMDPTPipeline.from_pretrained(folder, variant=...), and save it with "
                "save_pretrained"
            )


def _require_whole(pipe: XMDPTPipeline) -> None:
    """Raise ValueError if a weights file lacks tensors, which diffusers leaves on `meta`."""
    for part in NETWORKS:
        network = getattr(pipe, part)
        for name, tensor in [] if network is None else network.named_parameters():
            if tensor.is_meta:
                raise ValueError(f"the weights of {part} lack {name}")


def _from_export(folder: Path) -> XMDPTPipeline:
    """Load an exported folder with our own classes, so that no code in it is run."""
    index = json.loads((folder / "model_index.json").read_text())
    kind = index["scheduler"][1]
    scheduler = XMDPTScheduler if kind == "XMDPTScheduler" else getattr(diffusers, kind)
    kinds = dict.fromkeys(NETWORKS, XMDPTTransformer2DModel) | {"vae": AutoencoderKL}
    parts: dict[str, Any] = {
        name: kind.from_pretrained(folder / name, **OPTIONS) if (folder / name).is_dir() else None
        for name, kind in kinds.items()
    }
    parts["scheduler"] = scheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    settings = inspect.signature(XMDPTPipeline).parameters.keys() & index.keys() - parts.keys()
    return XMDPTPipeline(**parts, **{name: index[name] for name in settings})

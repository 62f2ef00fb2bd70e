"""The authors' published weights as ours, and back: settings are read off the tensors' shapes."""

import math
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor

from xmdpt.diffusion import make_scheduler
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import atomic_path
from xmdpt.support.hub import reason
from xmdpt.support.place import CLONE
from xmdpt.weights.export import export_pipeline, new_folder

SOURCE_ENCODER, POSE_ENCODER = "facebook/dinov2-giant", "facebook/dinov2-base"
GOLDEN = (CLONE or Path()) / "tests/golden/official_small.safetensors"


class CheckpointError(ValueError):
    """A checkpoint that cannot be converted; the message is one line that names it and the cure."""


# The authors' names -> ours. Their self-attention fuses query, key and value: see _split_qkv.
_BEGINNINGS = (
    ("x_embedder.", "patch_embed."),
    ("t_embedder.mlp.0.", "time_embedding.linear_1."),
    ("t_embedder.mlp.2.", "time_embedding.linear_2."),
    ("mlp_dino_pose.0.", "canet.pose_projection.linear."),
    ("mlp_dino_pose.2.", "canet.pose_projection.norm."),
    ("mlp_dino_img.0.", "canet.source_projection.linear."),
    ("mlp_dino_img.2.", "canet.source_projection.norm."),
    ("conv1d_pose.0.", "canet.pose_pool.conv."),
    ("conv1d_pose.2.", "canet.pose_pool.norm."),
    ("conv1d_global.0.", "canet.source_pool.conv."),
    ("conv1d_global.2.", "canet.source_pool.norm."),
    ("conv1d_local.0.", "canet.local_pool.conv."),
    ("conv1d_local.2.", "canet.local_pool.norm."),
    ("mlp_final.0.", "canet.join.linear."),
    ("mlp_final.2.", "canet.join.norm."),
    ("sideblocks.0.", "mipnet.blocks.self."),
    ("sideblocks_cross.0.", "mipnet.blocks.cross."),
    ("mask_token", "mipnet.mask_token"),
)
_PARTS = (
    (".adaLN_modulation.1.", ".modulation."),
    (".attn.proj.", ".attn.to_out."),
    (".rel_pos_bias.relative_position_bias_table", ".position_bias.table"),
)
_INTEGERS = (torch.int32, torch.int64)
_HALF = (torch.float16, torch.bfloat16)
_ENTRIES = ("ema", "model_ema", "state_dict_ema", "state_dict", "model")
"""Where training scripts keep weights in their files; of averaged and last ones, the averaged."""
_WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")
"""What parallel training and compilation put before the names."""
_TABLE_SUFFIX = ".relative_position_bias_table"
_INDEX_SUFFIX = ".relative_position_index"
_OWN_INDEX = "blocks.0.attn.position_bias.index"  # the same in all blocks


def _split_qkv(name: str, tensor: Tensor) -> dict[str, Tensor]:
    if tensor.ndim == 0:
        return {name: tensor}
    prefix, kind = name.rsplit(".attn.qkv.", 1)
    width = tensor.shape[0] // 3
    return {
        f"{prefix}.attn.to_q.{kind}": tensor[:width].clone(),
        f"{prefix}.attn.to_kv.{kind}": tensor[width:].clone(),
    }


def _rename(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        if name.endswith(_INDEX_SUFFIX):
            continue
        name = _renamed(name)
        renamed |= _split_qkv(name, tensor) if ".attn.qkv." in name else {name: tensor}
    return renamed


def _shape(state: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state:
        raise ValueError(f"not an X-MDPT state dict: no tensor {_renamed(name, back=True)}")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise ValueError(f"not an X-MDPT state dict: {_renamed(name, back=True)} has shape {shape}")
    return shape


def _read_config(state: dict[str, Tensor], mask_ratio: float, decode_layers: int) -> dict[str, Any]:
    hidden, channels, patch, _ = _shape(state, "patch_embed.proj.weight", 4)
    _, tokens, _ = _shape(state, "pos_embed", 3)
    _, heads = _shape(state, "blocks.0.attn.position_bias.table", 2)
    _, pose_width = _shape(state, "canet.pose_projection.linear.weight", 2)
    _, pose_tokens, _ = _shape(state, "canet.pose_pool.conv.weight", 3)
    _, source_width = _shape(state, "canet.source_projection.linear.weight", 2)
    _, source_tokens, _ = _shape(state, "canet.source_pool.conv.weight", 3)
    blocks = {int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))}
    return {
        "sample_size": math.isqrt(tokens) * patch,
        "in_channels": channels,
        "patch_size": patch,
        "hidden_size": hidden,
        "depth": max(blocks) + 1,
        "num_heads": heads,
        "decode_layers": decode_layers,
        "mask_ratio": mask_ratio,
        "mip_attention": "self_cross" if "mipnet.mask_token" in state else "none",
        "pose_tokens": pose_tokens,
        "pose_width": pose_width,
        "source_tokens": source_tokens,
        "source_width": source_width,
    }


def from_official(
    state_dict: dict[str, Tensor], mask_ratio: float = 0.3, decode_layers: int = 2
) -> XMDPTTransformer2DModel:
    """Return the authors' state dict as a model in evaluation mode, whose outputs equal theirs.

    mask_ratio and decode_layers leave no trace in the tensors; the defaults are those of the
    release. Raises ValueError, which names tensors that are missing, unknown or of another shape.
    """
    state = _rename(state_dict)
    model: XMDPTTransformer2DModel = XMDPTTransformer2DModel(
        **_read_config(state, mask_ratio, decode_layers)
    )
    expected = model.state_dict()
    wrong = {
        "missing": sorted(expected.keys() - state.keys()),
        "unknown": sorted(state.keys() - expected.keys()),
        "of another shape": sorted(
            name
            for name in expected.keys() & state.keys()
            if expected[name].shape != state[name].shape
        ),
    }
    complaints = [
        f"{what}: {', '.join([*dict.fromkeys(map(_name_in_file, names))][:5])}"
        for what, names in wrong.items()
        if names
    ]
    if complaints:
        raise ValueError("not an X-MDPT state dict; tensors " + "; ".join(complaints))
    own_index = model.get_buffer(_OWN_INDEX)
    for name, index in state_dict.items():
        if name.endswith(_INDEX_SUFFIX) and not index.equal(own_index):
            raise ValueError(f"{name} orders the relative positions in an unknown way")
    model.load_state_dict(state)
    return model.eval()


def to_official(model: XMDPTTransformer2DModel) -> dict[str, Tensor]:
    """Return a model's tensors as the authors' state dict, bit for bit: undoes `from_official`."""
    if model.mipnet is None or model.mipnet.order != ("self", "cross"):
        raise ValueError("the authors' code supports only mip_attention self_cross")
    config = model.config
    if config.canet_sources != "both" or config.aggregation != "mlp":
        raise ValueError("the authors' code supports only canet_sources both and aggregation mlp")
    own, state = model.state_dict(), {}
    for name, tensor in own.items():
        self_attention = "mipnet.blocks.cross." not in name
        if ".attn.to_kv." in name and self_attention:
            continue
        if ".attn.to_q." in name and self_attention:
            tensor = torch.cat([tensor, own[name.replace(".to_q.", ".to_kv.")]])
            name = name.replace(".to_q.", ".qkv.")
        name = _renamed(name, back=True)
        state[name] = tensor.clone()
        if name.endswith(_TABLE_SUFFIX):
            index = model.get_buffer(_OWN_INDEX).clone()
            state[name.removesuffix(_TABLE_SUFFIX) + _INDEX_SUFFIX] = index
    return state


def _renamed(name: str, back: bool = False) -> str:
    """The authors' name of a tensor in ours; with `back`, ours in theirs."""
    for pair in _BEGINNINGS:
        old, new = reversed(pair) if back else pair
        if name.startswith(old):
            name = new + name.removeprefix(old)
    for pair in _PARTS:
        old, new = reversed(pair) if back else pair
        name = name.replace(old, new)
    return name


def _name_in_file(name: str) -> str:
    """Of a tensor that may be one of the two that `_split_qkv` makes of one."""
    if "mipnet.blocks.cross." not in name:
        name = re.sub(r"\.attn\.to_(q|kv)\.", ".attn.qkv.", name)
    return _renamed(name, back=True)


def _load(path: Path) -> object:
    """Unpickle a file that may hold nothing but tensors; raises CheckpointError."""
    try:
        with open(path, "rb") as file:
            start = file.read(512).lstrip().lower()
        if start.startswith((b"<!doctype", b"<html")):
            raise CheckpointError(
                f"{path}: is a web page, not weights; the download must be confirmed in a browser"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript, which is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path}: is a folder, not a checkpoint file") from None
    except pickle.UnpicklingError as error:
        unsafe = "Unsupported" in str(error) or "WeightsUnpickler" in str(error)
        what = "holds more than tensors, perhaps code; it was not run" if unsafe else "is damaged"
        raise CheckpointError(f"{path}: {what}; take the authors' ema_*.pt") from None
    except CheckpointError:
        raise
    except Exception as error:  # zip, pickle and storage each have their own errors
        raise CheckpointError(
            f"{path}: not a whole checkpoint file ({reason(error)}); download it again"
        ) from None


def _unwrapped(content: object) -> object:
    """The tensors in a training script's dictionary, without what wrappers put before names."""
    if not isinstance(content, dict):
        return content
    for _ in range(3):  # one may lie in another
        found = [content[entry] for entry in _ENTRIES if isinstance(content.get(entry), dict)]
        content = found[0] if found else content
    return {
        _WRAPPERS.sub("", name) if isinstance(name, str) else name: value
        for name, value in content.items()
    }


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a published file, without running anything in it.

    Half precision becomes float32, which holds the same numbers. Raises CheckpointError, one line,
    for a file that is missing, cut off, of another kind or holds code, and for tensors that are not
    finite numbers of 16 or 32 bits or integers.
    """
    path = Path(path)
    state = _unwrapped(_load(path))
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise CheckpointError(f"{path}: is not a plain state dict; take the authors' ema_*.pt")
    for name, tensor in state.items():
        if tensor.dtype in _HALF:
            tensor = state[name] = tensor.float()
        if tensor.dtype not in (torch.float32, *_INTEGERS):
            raise CheckpointError(f"{path}: {name} is {tensor.dtype}, not of 16 or 32 bits")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
    return state


def convert_official(
    checkpoint: str | Path, out: str | Path, vae: str | Path | None = None, verify: bool = False
) -> None:
    """Write the authors' checkpoint as a new folder: a pipeline, or without `vae` only a model.

    `verify` first checks the code against golden numbers, and that the converted tensors turn back
    into those of the checkpoint.
    """
    state = read_checkpoint(checkpoint)
    if verify:
        verify_golden()
    try:
        model = from_official(state)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from None
    if verify:
        _require_equal(to_official(model), state, checkpoint)
    origin = f"Converted from the authors' published `{Path(checkpoint).name}`, bit for bit."
    if vae is None:
        with new_folder(out) as folder:
            model.save_pretrained(folder)
            (folder / "README.md").write_text(
                f"# X-MDPT: the transformer alone\n\n{origin}\n", encoding="utf-8"
            )
        return
    pipe = XMDPTPipeline(
        _read_vae(vae, model.config.in_channels),
        model,
        make_scheduler(),  # type: ignore[arg-type]  # diffusers lists schedulers in an enum
        source_encoder=SOURCE_ENCODER,
        pose_encoder=POSE_ENCODER,
        encoder_precision="auto",  # the authors run DINOv2 under bf16 autocast
    )
    export_pipeline(pipe, out, title="X-MDPT, the authors' weights", origin=origin)


def _read_vae(folder: str | Path, channels: int) -> AutoencoderKL:
    if not (Path(folder) / "config.json").is_file():
        raise CheckpointError(f"{folder}: not a VAE folder, which has a config.json")
    try:
        vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # JSON, safetensors, shapes: each has its own errors
        raise CheckpointError(f"{folder}: not a readable VAE folder ({reason(error)})") from None
    made = vae.config["latent_channels"]
    if made != channels:
        raise CheckpointError(
            f"{folder}: makes latents of {made} channels, but the model takes {channels}; name the "
            "VAE that belongs to it"
        )
    return vae


def convert_to_official(folder: str | Path, out: str | Path) -> None:
    """Write a model folder, or the transformer in a pipeline folder, in the authors' format."""
    folder, out = Path(folder), Path(out)
    inner = folder / "transformer" if (folder / "transformer").is_dir() else folder
    if not (inner / "config.json").is_file():
        raise CheckpointError(f"{folder}: not a model or pipeline folder, which has a config.json")
    try:
        model = XMDPTTransformer2DModel.from_pretrained(
            inner, local_files_only=True, use_safetensors=True
        )
        state = to_official(model)
    except Exception as error:
        raise CheckpointError(f"{folder}: cannot be converted ({reason(error)})") from None
    if out.exists():
        raise CheckpointError(f"{out}: already exists; choose another file, or remove it")
    with atomic_path(out) as partial:
        torch.save(state, partial)


def _require_equal(made: dict[str, Tensor], given: dict[str, Tensor], name: object) -> None:
    given = {key: value for key, value in given.items() if not key.endswith(_INDEX_SUFFIX)}
    changed = [key for key, value in given.items() if key not in made or not made[key].equal(value)]
    if changed:
        raise CheckpointError(f"{name}: converted back, it differs in {', '.join(changed[:5])}")


@torch.no_grad()
def verify_golden(path: Path = GOLDEN) -> None:
    """Compare conversion and model with outputs of the authors' code, to 1e-5 of the largest.

    Raises CheckpointError, which names the output that differs.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: missing; --verify needs golden numbers: run it where xmdpt was cloned"
        )
    golden = load_file(path)
    model = from_official(
        {name.removeprefix("model."): t for name, t in golden.items() if name.startswith("model.")}
    )
    pose, source = (golden[f"in.{name}_tokens"].float() for name in ("pose", "source"))
    latent, mask_noise = golden["in.source_latent"], golden["in.mask_noise"]
    condition = model.encode_condition(pose, source, latent)
    x, t = golden["in.x"], golden["in.t"]
    made = {
        "condition_vector": condition,
        "cond": model(x, t, condition).sample,
        "uncond": model(x, t, torch.zeros_like(condition)).sample,
        "masked_cond": model(x, t, condition, latent, mask_noise).sample,
    }
    for name, value in made.items():
        expected = golden[f"out.{name}"]
        if not (value - expected).abs().max() <= 1e-5 * expected.abs().max():  # or NaN
            raise CheckpointError(f"{path}: {name} differs from the authors' on this machine")

"""The authors' published weights as ours: every setting is read off the shapes of the tensors."""

import math
import re

from torch import Tensor

from xmdpt.model import XMDPTTransformer2DModel

# The authors' names -> ours. Their self attentions fuse query, key and value: see _split_qkv.
_RENAMES = (
    (r"^x_embedder\.", "patch_embed."),
    (r"^t_embedder\.mlp\.0\.", "time_embedding.linear_1."),
    (r"^t_embedder\.mlp\.2\.", "time_embedding.linear_2."),
    (r"^mlp_dino_pose\.0\.", "canet.pose_projection.linear."),
    (r"^mlp_dino_pose\.2\.", "canet.pose_projection.norm."),
    (r"^mlp_dino_img\.0\.", "canet.source_projection.linear."),
    (r"^mlp_dino_img\.2\.", "canet.source_projection.norm."),
    (r"^conv1d_pose\.0\.", "canet.pose_pool.conv."),
    (r"^conv1d_pose\.2\.", "canet.pose_pool.norm."),
    (r"^conv1d_global\.0\.", "canet.source_pool.conv."),
    (r"^conv1d_global\.2\.", "canet.source_pool.norm."),
    (r"^conv1d_local\.0\.", "canet.local_pool.conv."),
    (r"^conv1d_local\.2\.", "canet.local_pool.norm."),
    (r"^mlp_final\.0\.", "canet.join.linear."),
    (r"^mlp_final\.2\.", "canet.join.norm."),
    (r"^sideblocks\.0\.", "mipnet.blocks.self."),
    (r"^sideblocks_cross\.0\.", "mipnet.blocks.cross."),
    (r"^mask_token$", "mipnet.mask_token"),
    (r"\.adaLN_modulation\.1\.", ".modulation."),
    (r"\.attn\.proj\.", ".attn.to_out."),
    (r"\.rel_pos_bias\.relative_position_bias_table$", ".position_bias.table"),
)
_INDEX_SUFFIX = ".relative_position_index"


def _split_qkv(name: str, tensor: Tensor) -> dict[str, Tensor]:
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
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        renamed |= _split_qkv(name, tensor) if ".attn.qkv." in name else {name: tensor}
    return renamed


def _read_config(state: dict[str, Tensor], mask_ratio: float, decode_layers: int) -> dict:
    try:
        hidden, channels, patch, _ = state["patch_embed.proj.weight"].shape
        tokens = state["pos_embed"].shape[1]
        heads = state["blocks.0.attn.position_bias.table"].shape[1]
        pose = state["canet.pose_projection.linear.weight"]
        pose_pool = state["canet.pose_pool.conv.weight"]
        source = state["canet.source_projection.linear.weight"]
        source_pool = state["canet.source_pool.conv.weight"]
    except KeyError as missing:
        raise ValueError(f"not an X-MDPT state dict: no tensor for {missing}") from None
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
        "pose_tokens": pose_pool.shape[1],
        "pose_width": pose.shape[1],
        "source_tokens": source_pool.shape[1],
        "source_width": source.shape[1],
    }


def from_official(
    state_dict: dict[str, Tensor], mask_ratio: float = 0.3, decode_layers: int = 2
) -> XMDPTTransformer2DModel:
    """The authors' state dict as a model in evaluation mode, equal to theirs in every output.

    mask_ratio and decode_layers leave no trace in the tensors; their released values are the
    defaults. Raises ValueError naming tensors that are missing, unknown or of another shape.
    """
    state = _rename(state_dict)
    model = XMDPTTransformer2DModel(**_read_config(state, mask_ratio, decode_layers))
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
    complaints = [f"{what}: {', '.join(names[:5])}" for what, names in wrong.items() if names]
    if complaints:
        raise ValueError("not an X-MDPT state dict; tensors " + "; ".join(complaints))
    for name, index in state_dict.items():
        if name.endswith(_INDEX_SUFFIX) and not index.equal(
            model.blocks[0].attn.position_bias.index
        ):
            raise ValueError(f"{name} orders the relative positions in an unknown way")
    model.load_state_dict(state)
    return model.eval()

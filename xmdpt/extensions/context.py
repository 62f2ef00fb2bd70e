"""Beyond the paper: every block of the denoiser sees the source's tokens beside the target's.

CANet pools the photo into one vector, which holds the colour of a shirt, but hardly where its
stripes run. Here the source's latent also goes through the denoiser's own patch embedding and
blocks, as a target at timestep 0 would, with a learned embedding that says that it is the source.
Its tokens attend to themselves alone, so they are the same at every step of sampling: their keys
and values are part of the condition, and the target's tokens attend to them and to their own.
"""

from functools import wraps
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from xmdpt.config import ConfigError, ModelConfig
from xmdpt.model import (
    Attention,
    TDNetBlock,
    XMDPTTransformer2DModel,
    call_block,
    modulate,
)

SETTING = "source_tokens_in_context"


class ContextAttention(Attention):
    """Attention of `x` (B, N, D) to itself, and to the source's keys and values as `context`.

    Both lie on one grid, so one table has the bias for offsets within the target and to the source.
    """

    def forward(
        self, x: Tensor, context: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """`context` (B, N, 2D) of `ContextBlock.keys_values`; where a row is zero, it is hidden."""
        if context is None:
            return super().forward(x, None, keep)
        query = self.to_q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        both = torch.cat([self.to_kv(x), context.to(query.dtype)], dim=1)
        key, value = both.unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        hidden = ~context.flatten(1).any(dim=1)[:, None, None, None]
        own = self.position_bias(keep).to(query.dtype)
        source = own.masked_fill(hidden, -torch.inf)
        bias = torch.cat([own.expand_as(source), source], dim=-1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))
        return out


class ContextBlock(TDNetBlock):
    """The paper's block, with the source in the context of its attention."""

    attention: ClassVar[type[Attention]] = ContextAttention

    def keys_values(self, x: Tensor, condition: Tensor) -> Tensor:
        """Keys and values (B, N, 2D) of the source's tokens (B, N, D), for the target's to see."""
        shift, scale, *_ = self.modulation(F.silu(condition)).chunk(6, dim=-1)
        found: Tensor = self.attn.to_kv(modulate(self.norm1(x), shift, scale))
        return found


# To load a saved pipeline, diffusers looks for the name `ModelMixin` in this module.
class ContextTransformer2DModel(XMDPTTransformer2DModel, ModelMixin):  # type: ignore[misc]
    """X-MDPT with the source's tokens in context; arguments as `XMDPTTransformer2DModel`.

    It has D parameters more, and no MIPNet. A condition is the paper's vector, and behind it the
    keys and values of the source for each block: (B, D + depth * N * 2D). Zeros mean no condition.
    """

    block: ClassVar[type[TDNetBlock]] = ContextBlock
    _no_split_modules: ClassVar[list[str]] = ["ContextBlock"]  # type: ignore[misc, assignment]
    _repeated_blocks: ClassVar[list[str]] = ["ContextBlock"]  # type: ignore[misc]

    @wraps(XMDPTTransformer2DModel.__init__)  # type: ignore[misc]
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.mipnet is not None:
            raise ValueError(f"{SETTING} needs mip_attention 'none'")
        self.register_to_config(**{SETTING: True})  # type: ignore[no-untyped-call]
        # Last, so that all other weights are those of the plain model of this seed.
        self.type_embedding = nn.Parameter(torch.zeros(1, 1, self.config.hidden_size))
        nn.init.normal_(self.type_embedding, std=0.02)

    @classmethod
    def from_config(
        cls, config: Any = None, return_unused_kwargs: Any = False, **settings: Any
    ) -> Any:
        """As of diffusers; the setting that the class stands for is no argument of it."""
        given = {name: value for name, value in config.items() if name != SETTING}
        return super().from_config(given, return_unused_kwargs, **settings)

    def encode_condition(
        self, pose_tokens: Tensor, source_tokens: Tensor, source_latent: Tensor
    ) -> Tensor:
        """The condition (B, D + depth * N * 2D); as of the plain model, but of one photo each."""
        if len(source_latent) != len(pose_tokens):
            raise ConfigError(f"a model with {SETTING} takes one photo of a person")
        vector = super().encode_condition(pose_tokens, source_tokens, source_latent)
        c = self._condition(torch.zeros(()), vector)
        x = self._embed(source_latent) + self.type_embedding
        seen = []
        for index, block in enumerate(self.blocks):
            assert isinstance(block, ContextBlock)
            x = self._enter(index, x)
            seen.append(block.keys_values(x, c).flatten(1))
            if index + 1 < len(self.blocks):  # behind the last block nothing is seen
                x = call_block(self, block, x, c)
        return torch.cat([vector, *seen], dim=1)

    def _enter(self, index: int, x: Tensor) -> Tensor:
        """What block number `index` is given of the tokens that the one before has made."""
        return x + self.decoder_pos_embed if index == len(self._encoder) else x

    def plain_forward(self, sample: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """Noise and variance (B, 2C, H, W), as of the plain model."""
        vector, seen = condition.tensor_split([self.config.hidden_size], dim=1)
        c = self._condition(timestep, vector)
        x = self._embed(sample)
        of_blocks = seen.unflatten(1, (len(self.blocks), self.num_patches, -1)).unbind(1)
        for index, (block, context) in enumerate(zip(self.blocks, of_blocks, strict=True)):
            x = call_block(self, block, self._enter(index, x), c, context)
        return self._finish(x, c)


def differences(
    wanted: ModelConfig, model: XMDPTTransformer2DModel
) -> dict[str, tuple[object, object]]:
    """Settings that a model was built with otherwise: name -> (wanted, found).

    A model has an extension only where its own settings say so.
    """
    found = {SETTING: False} | dict(model.config)
    return {name: (value, found[name]) for name, value in wanted if found[name] != value}

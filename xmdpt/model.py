"""X-MDPT in one file: TDNet denoises, CANet joins the conditions, MIPNet predicts masked tokens.

Shapes: B batch, C latent channels, H x W latent size, p patch size, N = (H/p)(W/p) tokens,
K kept tokens, D width, M condition tokens. Section numbers are those of the paper.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import (
    PatchEmbed,
    TimestepEmbedding,
    Timesteps,
    get_2d_sincos_pos_embed,
)
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from diffusers.utils.outputs import BaseOutput
from torch import Tensor, nn


@dataclass
class XMDPTOutput(BaseOutput):
    """`sample` (B, 2C, H, W): the predicted noise, then the variance interpolation."""

    sample: Tensor


# Attention with a learned relative position bias


def relative_position_index(grid: int) -> Tensor:
    """(N, N) row of the bias table for each pair of positions on a grid x grid square, as BEiT."""
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    row_offset = rows[:, None] - rows[None, :] + grid - 1
    column_offset = columns[:, None] - columns[None, :] + grid - 1
    return row_offset * (2 * grid - 1) + column_offset


class RelativePositionBias(nn.Module):
    """One learned number per head and offset; three extra rows keep BEiT's format."""

    index: Tensor

    def __init__(self, grid: int, num_heads: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros((2 * grid - 1) ** 2 + 3, num_heads))
        self.register_buffer("index", relative_position_index(grid), persistent=False)

    def forward(self, keep: Tensor | None = None) -> Tensor:
        """Bias (1, heads, N, N), or (B, heads, K, K) between the kept positions (B, K)."""
        index = self.index[None]
        if keep is not None:
            index = self.index[keep[:, :, None], keep[:, None, :]]
        # Fused attention on a GPU takes only masks that are dense in the last dimension.
        return F.embedding(index, self.table).permute(0, 3, 1, 2).contiguous()


class Attention(nn.Module):
    """Multi-head attention, with bias, of `x` (B, N, D) to itself or to `context` (B, N, D)."""

    def __init__(self, dim: int, num_heads: int, grid: int):
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.position_bias = RelativePositionBias(grid, num_heads)

    def forward(
        self, x: Tensor, context: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Attend; x (B, N, D), or (B, K, D) of the kept positions `keep` (B, K), as the result."""
        query = self.to_q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key_value = self.to_kv(x if context is None else context)
        key, value = key_value.unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.position_bias(keep).to(query.dtype)
        out: Tensor = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out = self.to_out(out.transpose(1, 2).flatten(2))
        return out


# TDNet (Section 3.1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens (B, N, D), scaled and shifted by vectors (B, D)."""
    return x * (1 + scale[:, None]) + shift[:, None]


class GELU(nn.Module):
    """GELU in the tanh approximation, x (1 + tanh u) / 2."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # the same as x sigmoid(2u), twice as fast on CPUs
            u = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
            return x * torch.sigmoid(2 * u)
        return F.gelu(x, approximate="tanh")


class FeedForward(nn.Module):
    """Two layers with GELU between them, four times as wide inside; the names are timm's."""

    def __init__(self, dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.act = GELU()
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(self.act(self.fc1(x))))


class TDNetBlock(nn.Module):
    """Transformer block whose normalisations and gates are set by the condition (adaLN-Zero)."""

    attention: ClassVar[type[Attention]] = Attention

    def __init__(self, dim: int, num_heads: int, grid: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.attn = self.attention(dim, num_heads, grid)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.mlp = FeedForward(dim)
        self.modulation = nn.Linear(dim, 6 * dim)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        context: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """x (B, N or K, D), condition (B, D); `context` makes the attention a cross attention."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(condition)).chunk(
            6, dim=-1
        )
        attended = self.attn(modulate(self.norm1(x), shift1, scale1), context, keep)
        x = x + gate1[:, None] * attended
        x = x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))
        return x


class FinalLayer(nn.Module):
    """Tokens (B, N, D) -> patches (B, N, p * p * 2C)."""

    def __init__(self, dim: int, out_features: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(dim, 2 * dim)
        self.linear = nn.Linear(dim, out_features)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, N, D), condition (B, D) -> (B, N, p * p * 2C)."""
        shift, scale = self.modulation(F.silu(condition)).chunk(2, dim=-1)
        x = self.linear(modulate(self.norm(x), shift, scale))
        return x


# CANet (Section 3.2)


class TokenPool(nn.Module):
    """One vector (B, D) from M tokens: a 1x1 convolution over tokens, GELU, LayerNorm."""

    def __init__(self, num_tokens: int, dim: int):
        super().__init__()
        self.conv = nn.Conv1d(num_tokens, 1, kernel_size=1)
        self.norm = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, M, D) -> (B, D)."""
        pooled: Tensor = self.norm(F.gelu(self.conv(tokens).squeeze(1)))
        return pooled


class Projection(nn.Module):
    """Linear, GELU, LayerNorm on the last dimension."""

    def __init__(self, in_features: int, dim: int):
        super().__init__()
        self.linear = nn.Linear(in_features, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., D)."""
        x = self.norm(F.gelu(self.linear(x)))
        return x


class CANet(nn.Module):
    """Pose, global source features and local source latent become one condition vector.

    `sources` says which of the two views of the source photo are used (Table 2e), `aggregation` how
    the vectors are joined: an MLP on their sum (default), their plain sum, or a 1x1 convolution
    over their stack.
    """

    def __init__(
        self,
        dim: int,
        num_patches: int,
        pose_shape: tuple[int, int],
        source_shape: tuple[int, int],
        sources: str,
        aggregation: str,
    ):
        super().__init__()
        self.aggregation = aggregation
        self.pose_projection = Projection(pose_shape[1], dim)
        self.pose_pool = TokenPool(pose_shape[0], dim)
        self.source_projection: Projection | None = None
        self.source_pool: TokenPool | None = None
        self.local_pool: TokenPool | None = None
        if sources != "local":
            self.source_projection = Projection(source_shape[1], dim)
            self.source_pool = TokenPool(source_shape[0], dim)
        if sources != "global":
            self.local_pool = TokenPool(num_patches, dim)
        self.join: nn.Module = nn.Identity()
        if aggregation == "mlp":
            self.join = Projection(dim, dim)
        elif aggregation == "concat":
            self.join = TokenPool(3 if sources == "both" else 2, dim)

    def forward(self, pose_tokens: Tensor, source_tokens: Tensor, local_tokens: Tensor) -> Tensor:
        """pose (B, M, width), source (B, M', width'), local (B, N, D) -> condition (B, D).

        With V B rows of the source, V photos of one person follow each other: their vectors count
        as their mean (not in the paper).
        """
        vectors = [self.pose_pool(self.pose_projection(pose_tokens))]
        if self.local_pool is not None:
            vectors.append(_mean_of_views(self.local_pool(local_tokens), len(pose_tokens)))
        if self.source_projection is not None and self.source_pool is not None:
            pooled = self.source_pool(self.source_projection(source_tokens))
            vectors.append(_mean_of_views(pooled, len(pose_tokens)))
        if self.aggregation == "concat":
            joined: Tensor = self.join(torch.stack(vectors, dim=1))
        else:
            joined = self.join(torch.stack(vectors).sum(0))
        return joined


def _mean_of_views(vectors: Tensor, people: int) -> Tensor:
    """(V B, D), V views of each of B people -> (B, D)."""
    if len(vectors) == people:
        return vectors
    mean: Tensor = vectors.unflatten(0, (people, -1)).mean(1)
    return mean


# MIPNet (Section 3.3), used only in training


def call_block(owner: nn.Module, block: nn.Module, *inputs: Tensor | None) -> Tensor:
    """Call one of `owner`'s blocks, with gradient checkpointing if that is enabled."""
    if torch.is_grad_enabled() and owner.gradient_checkpointing:
        checkpoint = cast(Callable[..., Tensor], owner._gradient_checkpointing_func)
        return checkpoint(block, *inputs)
    out: Tensor = block(*inputs)
    return out


class MIPNet(nn.Module):
    """Predicts the masked tokens of the target from its kept ones and from the source (Eq. 3)."""

    ORDERS: ClassVar[dict[str, tuple[str, ...]]] = {  # which blocks run, in order
        "self": ("self",),
        "cross": ("cross",),
        "cross_self": ("cross", "self"),
        "self_cross": ("self", "cross"),
    }

    def __init__(self, dim: int, num_heads: int, grid: int, attention: str):
        super().__init__()
        self.order = self.ORDERS[attention]
        self.gradient_checkpointing = False
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleDict({name: TDNetBlock(dim, num_heads, grid) for name in self.order})

    @property
    def uses_source(self) -> bool:
        """Whether a block attends to the source."""
        return "cross" in self.order

    def restore(self, kept: Tensor, keep: Tensor, num_tokens: int) -> Tensor:
        """Put kept tokens (B, K, D) at positions `keep` (B, K) and the mask token elsewhere."""
        full = self.mask_token.to(kept.dtype).expand(kept.shape[0], num_tokens, -1)
        return full.scatter(1, keep[..., None].expand(-1, -1, kept.shape[-1]), kept)

    def forward(self, x: Tensor, condition: Tensor, context: Tensor | None, keep: Tensor) -> Tensor:
        """x (B, N, D) with mask tokens, context (B, N, D); kept positions pass unchanged."""
        predicted = x
        for name in self.order:
            block_context = context if name == "cross" else None
            predicted = call_block(self, self.blocks[name], predicted, condition, block_context)
        masked = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device).scatter(1, keep, False)
        return torch.where(masked[..., None], predicted, x)


# The whole model


# diffusers declares less than it allows, hence the ignored types below.
class XMDPTTransformer2DModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """The cross-view masked diffusion transformer: TDNet with CANet and, for training, MIPNet.

    Args:
        sample_size: side of the square latent. in_channels: its channels C.
        patch_size: p. hidden_size, depth, num_heads: D, blocks, heads (S 384/12/6, B 768/12/12,
            L 1024/24/16). decode_layers: how many of the last blocks form the decoder.
        mask_ratio: share of target tokens hidden in the masked pass (Table 2b).
        mip_attention: none (a plain diffusion transformer), self (MDT), cross, cross_self or
            self_cross (Table 2d). Inference does not need MIPNet: `none` drops it.
        canet_sources: local, global or both (Table 2e). aggregation: mlp, add or concat.
        pose_tokens, pose_width, source_tokens, source_width: condition token counts and widths.
    """

    block: ClassVar[type[TDNetBlock]] = TDNetBlock
    _supports_gradient_checkpointing = True
    _supports_group_offloading = False  # it works for `forward`, but not for `encode_condition`
    _no_split_modules: ClassVar[list[str]] = ["TDNetBlock"]  # type: ignore[misc, assignment]
    _repeated_blocks: ClassVar[list[str]] = ["TDNetBlock"]  # type: ignore[misc]
    _skip_layerwise_casting_patterns: ClassVar[list[str]] = [  # type: ignore[misc, assignment]
        "pos_embed",
        "norm",
        "time_embedding",
    ]
    config: Any  # settings are both keys and attributes

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 4,
        patch_size: int = 2,
        hidden_size: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        decode_layers: int = 2,
        mask_ratio: float = 0.3,
        mip_attention: str = "self_cross",
        canet_sources: str = "both",
        aggregation: str = "mlp",
        pose_tokens: int = 257,
        pose_width: int = 768,
        source_tokens: int = 257,
        source_width: int = 1536,
    ):
        super().__init__()  # type: ignore[no-untyped-call]
        self._check_config()
        grid = sample_size // patch_size
        self.num_patches = grid * grid
        self.gradient_checkpointing = False

        self.patch_embed = PatchEmbed(
            sample_size, sample_size, patch_size, in_channels, hidden_size, pos_embed_type=None
        )
        self.pos_embed = nn.Parameter(torch.zeros(1, self.num_patches, hidden_size))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, self.num_patches, hidden_size))
        self.time_proj = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(256, hidden_size)
        self.canet = CANet(
            hidden_size,
            self.num_patches,
            (pose_tokens, pose_width),
            (source_tokens, source_width),
            canet_sources,
            aggregation,
        )
        self.blocks = nn.ModuleList(self.block(hidden_size, num_heads, grid) for _ in range(depth))
        self.mipnet: MIPNet | None = None
        if mip_attention != "none":
            self.mipnet = MIPNet(hidden_size, num_heads, grid, mip_attention)
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * 2 * in_channels)
        self.initialize_weights()

    @classmethod
    def from_config(
        cls, config: Any = None, return_unused_kwargs: Any = False, **settings: Any
    ) -> Any:
        """Build the class that `config` names: this one, or a subclass that is imported."""
        name = config.get("_class_name", cls.__name__)
        known = {kind.__name__: kind for kind in (cls, *cls.__subclasses__())}
        if name not in known:
            raise ValueError(
                f"config.json names {name}, which is neither {cls.__name__} nor a subclass of it "
                "that is imported"
            )
        if known[name] is not cls:
            return known[name].from_config(config, return_unused_kwargs, **settings)
        return super().from_config(config, return_unused_kwargs, **settings)

    def _check_config(self) -> None:
        config = self.config
        if config.sample_size % config.patch_size:
            raise ValueError(
                f"sample_size {config.sample_size} is not a multiple of "
                f"patch_size {config.patch_size}"
            )
        if config.hidden_size % config.num_heads or config.hidden_size % 4:
            raise ValueError(
                f"hidden_size {config.hidden_size} must be a multiple of num_heads "
                f"{config.num_heads} and of 4"
            )
        patches = (config.sample_size // config.patch_size) ** 2
        if int(patches * (1 - config.mask_ratio)) < 1:
            raise ValueError(
                f"mask_ratio {config.mask_ratio} leaves none of {patches} patches visible"
            )
        if not 0 < config.decode_layers < config.depth:
            raise ValueError(
                f"decode_layers {config.decode_layers} must lie between 1 and depth - 1"
            )
        for name, allowed in {
            "mip_attention": ("none", *MIPNet.ORDERS),
            "canet_sources": ("local", "global", "both"),
            "aggregation": ("mlp", "add", "concat"),
        }.items():
            if config[name] not in allowed:
                raise ValueError(f"{name} '{config[name]}' is not one of {', '.join(allowed)}")

    def initialize_weights(self) -> None:
        """As in the authors' code: Xavier for linear layers, sin-cos positions, zero for modulation
        and the last layer (adaLN-Zero), std 0.02 for CANet, time embedding and position biases.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, RelativePositionBias):
                nn.init.normal_(module.table, std=0.02)
        self._initialize_attention()
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))
        nn.init.zeros_(cast(Tensor, self.patch_embed.proj.bias))
        grid = math.isqrt(self.num_patches)
        positions = get_2d_sincos_pos_embed(
            self.config.hidden_size, grid, base_size=grid, output_type="pt"
        )
        for embedding in (self.pos_embed, self.decoder_pos_embed):
            embedding.data.copy_(positions)
        for linear in (self.time_embedding.linear_1, self.time_embedding.linear_2):
            nn.init.normal_(linear.weight, std=0.02)
        for module in self.canet.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.normal_(module.weight, std=0.02)
        if self.mipnet is not None:
            nn.init.normal_(self.mipnet.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, (TDNetBlock, FinalLayer)):
                nn.init.zeros_(module.modulation.weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    def _initialize_attention(self) -> None:
        """Xavier for self-attention as if query, key and value were one matrix of 3D x D."""
        blocks = [*self.blocks]
        if self.mipnet is not None and "self" in self.mipnet.order:
            blocks.append(self.mipnet.blocks["self"])
        for block in blocks:
            nn.init.xavier_uniform_(block.attn.to_q.weight, gain=(1 / 2) ** 0.5)
            nn.init.xavier_uniform_(block.attn.to_kv.weight, gain=(3 / 4) ** 0.5)

    def _run(self, blocks: nn.ModuleList, x: Tensor, *inputs: Tensor | None) -> Tensor:
        for block in blocks:
            x = call_block(self, block, x, *inputs)
        return x

    @property
    def _encoder(self) -> nn.ModuleList:
        return self.blocks[: -self.config.decode_layers]

    def _embed(self, latent: Tensor) -> Tensor:
        tokens: Tensor = self.patch_embed(latent) + self.pos_embed
        return tokens

    def _condition(self, timestep: Tensor, condition: Tensor) -> Tensor:
        """c = timestep embedding + y, (B, D)."""
        timestep = torch.as_tensor(timestep, device=condition.device).expand(condition.shape[0])
        waves = self.time_proj(timestep).to(self.time_embedding.linear_1.weight.dtype)
        c: Tensor = self.time_embedding(waves) + condition
        return c

    def _decode(self, x: Tensor, c: Tensor) -> Tensor:
        """Decoder blocks and final layer: tokens (B, N, D) -> (B, 2C, H, W)."""
        return self._finish(self._run(self.blocks[-self.config.decode_layers :], x, c), c)

    def _finish(self, x: Tensor, c: Tensor) -> Tensor:
        """Final layer: tokens (B, N, D) -> (B, 2C, H, W)."""
        grid, p = math.isqrt(self.num_patches), self.config.patch_size
        patches: Tensor = (
            self.final_layer(x, c).unflatten(1, (grid, grid)).unflatten(-1, (p, p, -1))
        )
        return patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    # By itself, an offloaded model returns to the device only for `forward`.
    @apply_forward_hook  # type: ignore[untyped-decorator]
    def encode_condition(
        self, pose_tokens: Tensor, source_tokens: Tensor, source_latent: Tensor
    ) -> Tensor:
        """The condition vector y (B, D) of CANet; it does not depend on the timestep.

        pose_tokens (B, M, width), source_tokens (B, M', width'), source_latent (B, C, H, W) as
        scaled for diffusion; or V B rows of the source, V photos of each person in turn. A vector
        of zeros means no condition.
        """
        y: Tensor = self.canet(pose_tokens, source_tokens, self._embed(source_latent))
        return y

    def kept_tokens(self, mask_noise: Tensor) -> Tensor:
        """Sorted positions (B, K) of the int(N (1 - mask_ratio)) smallest of mask_noise (B, N)."""
        count = int(self.num_patches * (1 - self.config.mask_ratio))
        return mask_noise.argsort(dim=1)[:, :count].sort(dim=1).values

    @torch.no_grad()
    def source_context(self, source_latent: Tensor, c: Tensor) -> Tensor:
        """What MIPNet attends to: the source after the same encoder blocks, without gradient."""
        x = self._embed(source_latent)
        for block in self._encoder:
            x = block(x, c)
        return x

    def masked_forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        condition: Tensor,
        source_latent: Tensor | None,
        mask_noise: Tensor,
    ) -> XMDPTOutput:
        """The training pass with part of the target hidden (Eq. 2-4); arguments as `forward`."""
        if self.mipnet is None:
            raise ValueError("a model with mip_attention 'none' has no masked pass")
        c = self._condition(timestep, condition)
        keep = self.kept_tokens(mask_noise)
        x = self._embed(sample)
        x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
        x = self._run(self._encoder, x, c, None, keep)
        x = self.mipnet.restore(x, keep, self.num_patches) + self.decoder_pos_embed
        context = None
        if self.mipnet.uses_source:
            if source_latent is None:
                raise ValueError("the masked pass of this model needs source_latent")
            context = self.source_context(source_latent, c)
        x = self.mipnet(x, c, context, keep)
        return XMDPTOutput(sample=self._decode(x, c))

    def plain_forward(self, sample: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """The pass without a mask: noise and variance (B, 2C, H, W); arguments as `forward`."""
        c = self._condition(timestep, condition)
        x = self._run(self._encoder, self._embed(sample), c)
        return self._decode(x + self.decoder_pos_embed, c)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        condition: Tensor,
        source_latent: Tensor | None = None,
        mask_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> XMDPTOutput | tuple[Tensor]:
        """Noise and variance (B, 2C, H, W) of the noisy latent.

        sample (B, C, H, W), timestep (B,) or scalar in 0..999, condition (B, D) from
        `encode_condition` or zeros. With mask_noise (B, N) and source_latent (B, C, H, W) this is
        the masked pass.
        """
        if mask_noise is not None:
            output = self.masked_forward(
                sample, timestep, condition, source_latent, mask_noise
            ).sample
        else:
            output = self.plain_forward(sample, timestep, condition)
        return XMDPTOutput(sample=output) if return_dict else (output,)

"""The networks whose costs are compared, at the paper's size: 256x256 pixels, 32x32x4 latents.

X-MDPT as it is at inference; two U-Nets from diffusers that stand in for the cost of PIDM and
PoCoLD, with the parameter counts in the paper; and the networks that run once per picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from xmdpt.config import CostModel, Precision
from xmdpt.model import XMDPTTransformer2DModel

STEPS = 50
"""Denoising steps of one inference (Appendix A.3)."""
PICTURES = 8
"""Pictures drawn at once in Tables 2(f) and 3."""
SHAPES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16)}
"""Width, layers and heads (Table 4)."""


@dataclass(frozen=True)
class Network:
    """A network, and how an inference calls it."""

    title: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], tuple[Tensor, ...]]
    """Number of rows -> random inputs on the default device."""
    guidance: str | None = None
    """CFG or D-CFG; None for a network that runs once per picture."""
    passes: int = 1
    """Rows per picture in a step: one for each pass that the guidance combines."""
    once: tuple[CostModel, ...] = ()
    """The other networks of an inference, which run once per picture."""
    precision: Precision = "auto"

    @property
    def forwards(self) -> int:
        """Forward passes per picture, as Table 3 counts them."""
        return self.passes * STEPS if self.guidance else 1


def build_x_mdpt(
    size: str, mip_attention: str = "none", sample_size: int = 32
) -> XMDPTTransformer2DModel:
    """X-MDPT-S, -B or -L; by default without MIPNet, as at inference, for 256x256 pictures."""
    width, depth, heads = SHAPES[size]
    model: XMDPTTransformer2DModel = XMDPTTransformer2DModel(
        sample_size=sample_size,
        hidden_size=width,
        depth=depth,
        num_heads=heads,
        mip_attention=mip_attention,
    )
    return model


def _x_mdpt_inputs(size: str, rows: int) -> tuple[Tensor, ...]:
    return torch.randn(rows, 4, 32, 32), torch.tensor(500), torch.randn(rows, SHAPES[size][0])


def _pixel_unet() -> nn.Module:
    """683 M parameters. How they are distributed over resolutions determines the time.

    This distribution is cheap: the 128 channels of DDPM's network for 256x256 at the high
    resolutions, and most parameters at 16x16 and 8x8. So comparisons err in the U-Net's favour.
    """
    attention = (32, 16, 8)
    resolutions = (256, 128, 64, 32, 16, 8)
    blocks = ["Attn" * (side in attention) + "{}Block2D" for side in resolutions]
    network: nn.Module = UNet2DModel(
        sample_size=256,
        in_channels=3 + 20,  # the noisy picture and PIDM's representation of a pose
        out_channels=6,  # noise and variance
        block_out_channels=(128, 128, 256, 512, 1024, 1536),
        layers_per_block=2,
        down_block_types=tuple(block.format("Down") for block in blocks),
        up_block_types=tuple(block.format("Up") for block in reversed(blocks)),
        attention_head_dim=64,
        resnet_time_scale_shift="scale_shift",
    )
    return network


def _pixel_unet_inputs(rows: int) -> tuple[Tensor, ...]:
    return torch.randn(rows, 23, 256, 256), torch.tensor(500)


def _latent_unet() -> nn.Module:
    """The widths of latent diffusion's 400 M network for ImageNet, for 32x32 latents."""
    network: nn.Module = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(192, 384, 576, 960),
        layers_per_block=2,
        cross_attention_dim=512,
        attention_head_dim=32,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
    )
    return network


def _latent_unet_inputs(rows: int) -> tuple[Tensor, ...]:
    return torch.randn(rows, 4, 32, 32), torch.tensor(500), torch.randn(rows, 257, 512)


def _vae() -> nn.Module:
    """Stable Diffusion's; a forward pass encodes a picture and decodes one."""
    network: nn.Module = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=256,
    )
    return network


def _dinov2(width: int, layers: int, heads: int, swiglu: bool) -> nn.Module:
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        use_swiglu_ffn=swiglu,
        image_size=224,
    )
    return Dinov2Model(config)


def _pictures(side: int, rows: int) -> tuple[Tensor, ...]:
    return (torch.randn(rows, 3, side, side),)


def _x_mdpt(size: str) -> Network:
    return Network(
        title=f"X-MDPT-{size.upper()}",
        build=partial(build_x_mdpt, size),
        inputs=partial(_x_mdpt_inputs, size),
        guidance="CFG",
        passes=2,
        once=("vae", "dinov2_giant", "dinov2_base"),
    )


NETWORKS: dict[CostModel, Network] = {
    "x_mdpt_s": _x_mdpt("s"),
    "x_mdpt_b": _x_mdpt("b"),
    "x_mdpt_l": _x_mdpt("l"),
    "pixel_unet": Network(
        "pixel U-Net, for PIDM", _pixel_unet, _pixel_unet_inputs, "D-CFG", passes=3
    ),
    "latent_unet": Network(
        "latent U-Net, for PoCoLD", _latent_unet, _latent_unet_inputs, "D-CFG", 3, ("vae",)
    ),
    "vae": Network(  # in float32, as the pipeline runs it
        "VAE, source in and picture out", _vae, partial(_pictures, 256), precision="fp32"
    ),
    "dinov2_giant": Network(
        "DINOv2-G, of the source", partial(_dinov2, 1536, 40, 24, True), partial(_pictures, 224)
    ),
    "dinov2_base": Network(
        "DINOv2-B, of the pose", partial(_dinov2, 768, 12, 12, False), partial(_pictures, 224)
    ),
}

"""The autoencoder: fine-tuning of its decoder as in the paper, or training of all of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from xmdpt.config import ConfigError, VAEConfig
from xmdpt.image_metrics import psnr, ssim
from xmdpt.perceptual import STLPIPS
from xmdpt.pictures import to_signed, to_uint8
from xmdpt.precision import autocast
from xmdpt.random import batch_indices, keyed_generator
from xmdpt.training.ema import EMA


def new_vae(config: VAEConfig, size: int) -> AutoencoderKL:
    """An untrained autoencoder of the small profile; 2^(levels - 1) pixels a latent cell."""
    levels = len(config.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=8,
        sample_size=size,
    )


def load_vae(config: VAEConfig, size: int, seed: int) -> AutoencoderKL:
    """The autoencoder to start from: `config.init`, or untrained weights drawn by `seed`."""
    if config.init is None:
        torch.manual_seed(seed)
        return new_vae(config, size)
    if not (Path(config.init) / "config.json").is_file():
        raise ConfigError(f"vae.init: {config.init} holds no AutoencoderKL; null trains one")
    return AutoencoderKL.from_pretrained(config.init, torch_dtype=torch.float32)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """uint8 (N, H, W, 3) through encoder (mean) and decoder."""
    return np.concatenate(
        [
            to_uint8(vae.decode(vae.encode(to_signed(batch)).latent_dist.mean).sample)
            for batch in np.split(pictures, range(batch_size, len(pictures), batch_size))
        ]
    )


@torch.no_grad()
def reconstruction_scores(made: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and st_lpips of uint8 (N, H, W, 3) against the truth."""
    perceptual = STLPIPS()
    distances = [
        perceptual(to_signed(a[None]), to_signed(b[None])).item()
        for a, b in zip(made, truth, strict=True)
    ]
    pairs = list(zip(made, truth, strict=True))
    return {
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
        "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
        "st_lpips": float(np.mean(distances)),
    }


class Reconstruction(nn.Module):
    """Losses of one batch of pictures: squared error, st_lpips, and KL where the encoder trains."""

    def __init__(self, vae: AutoencoderKL, config: VAEConfig):
        super().__init__()
        self.vae = vae
        self.perceptual = STLPIPS() if config.perceptual_weight else None
        self.config = config
        self.decoder_only = config.init is not None
        vae.requires_grad_(not self.decoder_only)
        vae.decoder.requires_grad_(True)
        vae.post_quant_conv.requires_grad_(True)

    def forward(self, pictures: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """pictures (B, 3, H, W) in [-1, 1], noise shaped like the latents -> scalar losses."""
        with torch.set_grad_enabled(not self.decoder_only):
            posterior = self.vae.encode(pictures).latent_dist
        latents = posterior.mean + posterior.std * noise
        decoded = self.vae.decode(latents).sample.float()
        losses = {
            "mse": F.mse_loss(decoded, pictures),
            "kl": posterior.kl().mean() / noise[0].numel(),
        }
        losses["loss"] = losses["mse"] + self.config.kl_weight * losses["kl"]
        if self.perceptual is not None:
            losses["st_lpips"] = self.perceptual(decoded, pictures).mean()
            losses["loss"] = losses["loss"] + self.config.perceptual_weight * losses["st_lpips"]
        return losses


def _crop(pictures: Tensor, crop: int, generator: torch.Generator) -> Tensor:
    """The same random crop x crop window of all pictures (B, 3, H, W), mirrored half the time."""
    height, width = pictures.shape[-2:]
    top, left = (
        int(torch.randint(max(side - crop, 0) + 1, (1,), generator=generator))
        for side in (height, width)
    )
    pictures = pictures[..., top : top + crop, left : left + crop]
    return pictures.flip(-1) if torch.rand(1, generator=generator) < 0.5 else pictures


@torch.no_grad()
def _latent_std(vae: AutoencoderKL, pictures: list[Tensor]) -> float:
    """Standard deviation of the posterior means over batches (B, 3, H, W) in [-1, 1]."""
    means = [vae.encode(batch).latent_dist.mean for batch in pictures]
    return torch.cat(means).std().item()


@dataclass
class VAEProgress:
    step: int
    losses: dict[str, float]


def train_vae(
    vae: AutoencoderKL,
    load: Callable[[list[int]], np.ndarray],
    count: int,
    config: VAEConfig,
    seed: int,
) -> Iterator[VAEProgress]:
    """Train on `count` pictures that `load(indices)` returns as uint8 (B, H, W, 3).

    Yields the losses of each step; when it ends, `vae` holds the averaged weights. With
    config.init set only the decoder changes, so latents made before stay valid; without, the
    scaling factor is set to bring latents to unit variance.
    """
    module = Reconstruction(vae, config)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)
    ema = EMA(vae, config.ema_decay)
    vae.train()
    for step in range(config.steps):
        generator = keyed_generator(seed, "vae", step)
        indices = batch_indices(seed, step, config.batch_size, count)
        pictures = _crop(to_signed(load(indices.tolist())), config.crop, generator)
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        latent_shape = (
            len(pictures),
            vae.config.latent_channels,
            *(side // factor for side in pictures.shape[-2:]),
        )
        noise = torch.randn(latent_shape, generator=generator)
        with autocast(pictures.device, "auto"):
            losses = module(pictures.contiguous(memory_format=torch.channels_last), noise)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        ema.update(vae)
        yield VAEProgress(step + 1, {name: value.item() for name, value in losses.items()})
    vae.load_state_dict(ema.model.state_dict())
    vae.eval().requires_grad_(False)
    if config.init is None:
        shown = [to_signed(load([index])) for index in range(0, count, max(1, count // 256))]
        vae.register_to_config(scaling_factor=1 / _latent_std(vae, shown))

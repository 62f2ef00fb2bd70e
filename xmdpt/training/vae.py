"""The autoencoder: fine-tuning of its decoder as in the paper, or training of all of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from xmdpt.config import VAEConfig
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.metrics.images import psnr, ssim
from xmdpt.metrics.perceptual import STLPIPS, make_perceptual
from xmdpt.support.files import atomic_path, fingerprint
from xmdpt.support.hub import load_pretrained, weights_key
from xmdpt.support.pictures import to_signed, to_uint8
from xmdpt.support.precision import autocast, resolve
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.device import accelerator, adamw
from xmdpt.training.ema import EMA
from xmdpt.training.errors import TrainingError

READERS = 8
STATE = "state.pt"
SAME_WEIGHTS = {"save_every", "gradient_checkpointing"}
"""Settings that change no weights, up to rounding."""


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
    """The autoencoder to start from: `config.init`, or untrained weights drawn by `seed`.

    Raises ConfigError where the weights of `config.init` are missing, naming them.
    """
    if config.init is None:
        torch.manual_seed(seed)
        return new_vae(config, size)
    load = partial(AutoencoderKL.from_pretrained, torch_dtype=torch.float32)
    return load_pretrained(load, config.init, "vae.init")


def vae_key(
    config: VAEConfig, vae: AutoencoderKL, data: DeepFashion, names: Sequence[str], seed: int
) -> str:
    """A name for all that the trained weights depend on, to resume by."""
    settings = config.model_dump(exclude=SAME_WEIGHTS)
    pictures = [[name, data.digest(name)] for name in names]
    return fingerprint(settings, weights_key([vae]), pictures, data.size, seed)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """uint8 (N, H, W, 3) through encoder (mean) and decoder."""
    return np.concatenate(
        [
            to_uint8(
                vae.decode(vae.encode(to_signed(batch).to(vae.device)).latent_dist.mean).sample
            )
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
    """Losses of one batch of pictures: pixels, perception, and KL where the encoder trains."""

    def __init__(self, vae: AutoencoderKL, config: VAEConfig):
        super().__init__()
        self.vae = vae
        self.perceptual = make_perceptual(config.perceptual) if config.perceptual_weight else None
        self.config = config
        vae.requires_grad_(config.train_encoder)
        vae.decoder.requires_grad_(True)
        if vae.post_quant_conv is not None:
            vae.post_quant_conv.requires_grad_(True)

    def forward(self, pictures: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """pictures (B, 3, H, W) in [-1, 1], noise shaped like the latents -> scalar losses."""
        config = self.config
        with torch.set_grad_enabled(config.train_encoder):
            posterior = self.vae.encode(pictures).latent_dist
        latents = posterior.mean + posterior.std * noise
        decoded = self.vae.decode(latents).sample.float()
        pixels = F.mse_loss if config.reconstruction == "mse" else F.l1_loss
        losses = {
            config.reconstruction: pixels(decoded, pictures),
            "kl": posterior.kl().mean() / noise[0].numel(),
        }
        losses["loss"] = losses[config.reconstruction] + config.kl_weight * losses["kl"]
        if self.perceptual is not None:
            distance = self.perceptual(decoded, pictures).mean()
            losses[config.perceptual] = distance
            losses["loss"] = losses["loss"] + config.perceptual_weight * distance
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


def _permute_colours(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Red, green and blue of each picture (B, 3, H, W) in an order of its own.

    An autoencoder that sees only people's colours keeps light and warmth, and drops other hues.
    """
    orders = torch.rand(pictures.shape[:2], generator=generator).argsort(dim=1)
    return pictures.gather(1, orders[..., None, None].expand_as(pictures))


@dataclass
class VAEProgress:
    step: int
    losses: dict[str, float]


class VAETrainer:
    """Autoencoder, its moving average, optimizer and the number of finished steps.

    `read(index)` gives the picture uint8 (H, W, 3) of each index below `count`; the next step's
    are read by threads while one runs.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        read: Callable[[int], np.ndarray],
        count: int,
        config: VAEConfig,
        seed: int,
    ):
        self.config, self.read, self.count, self.seed = config, read, count, seed
        self.accelerator = accelerator()
        self.precision = resolve(self.accelerator.device, config.precision)
        self.vae = vae.to(self.accelerator.device)
        self.step = 0
        module = Reconstruction(vae, config)
        self.trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
        optimizer = adamw(self.trained, config.learning_rate, 0.0, self.accelerator.device)
        self.ema = EMA(vae, config.ema_decay)
        vae.train()
        if config.gradient_checkpointing:
            vae.enable_gradient_checkpointing()
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)

    def save(self, path: Path) -> None:
        """Write everything that resuming needs, whole or not at all."""
        state = {
            "step": self.step,
            "precision": self.precision,
            "vae": self.vae.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as partial_path:
            torch.save(state, partial_path)

    def load(self, path: Path) -> None:
        """Take up the state that `save` wrote; where the precision is `auto`, in its own."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.step = state["step"]
        if self.config.precision == "auto":
            self.precision = state["precision"]
        self.vae.load_state_dict(state["vae"])
        self.ema.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _indices(self, step: int) -> list[int]:
        return batch_indices(self.seed, step, self.config.batch_size, self.count).tolist()

    def _draw(self, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
        """What this step trains on: crops (B, 3, H, W) in [-1, 1], and noise like their latents."""
        generator = keyed_generator(self.seed, "vae", self.step)
        crops = _crop(to_signed(pictures), self.config.crop, generator)
        if self.config.train_encoder:
            crops = _permute_colours(crops, generator)
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        cells = (side // factor for side in crops.shape[-2:])
        shape = (len(crops), self.vae.config.latent_channels, *cells)
        noise = torch.randn(shape, generator=generator)
        device = self.accelerator.device
        return crops.contiguous(memory_format=torch.channels_last).to(device), noise.to(device)

    def _learning_rate(self) -> float:
        """Constant but for a linear decay that ends with the run."""
        config = self.config
        fall = (config.steps - self.step) / config.decay_steps if config.decay_steps else 1.0
        return config.learning_rate * min(1.0, fall)

    def _train_step(self, pictures: np.ndarray) -> VAEProgress:
        crops, noise = self._draw(pictures)
        with autocast(crops.device, self.precision):
            losses = self.module(crops, noise)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(losses["loss"])
        norm = self.accelerator.clip_grad_norm_(self.trained, 1.0).item()
        values = {name: value.item() for name, value in losses.items()}
        if not (math.isfinite(values["loss"]) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.step}: the loss of the autoencoder is {values['loss']}, the gradient "
                f"norm {norm}; lower vae.learning_rate or train in fp32"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.step()
        self.ema.update(self.vae)
        self.step += 1
        return VAEProgress(self.step, values)

    def run(self, steps: int) -> Iterator[VAEProgress]:
        """Train until `steps` steps are finished, yielding the losses of each."""
        with ThreadPoolExecutor(READERS) as readers:
            following = readers.map(self.read, self._indices(self.step))
            while self.step < steps:
                pictures = np.stack([*following])
                if self.step + 1 < steps:
                    following = readers.map(self.read, self._indices(self.step + 1))
                yield self._train_step(pictures)

    @torch.no_grad()
    def finish(self) -> None:
        """Put the averaged weights in place; where the encoder trained, scale latents anew."""
        self.vae.load_state_dict(self.ema.model.state_dict())
        self.vae.eval().requires_grad_(False)
        if self.config.train_encoder:
            shown = range(0, self.count, max(1, self.count // 256))
            means = [
                self.vae.encode(to_signed(self.read(i)[None]).to(self.vae.device)).latent_dist.mean
                for i in shown
            ]
            self.vae.register_to_config(scaling_factor=1 / torch.cat(means).std().item())


def train_vae(
    vae: AutoencoderKL,
    read: Callable[[int], np.ndarray],
    count: int,
    config: VAEConfig,
    seed: int,
    work: Path,
) -> Iterator[VAEProgress]:
    """Train on the `count` pictures uint8 (H, W, 3) that `read(index)` gives; save into `work`.

    Yields the losses of each step; when it ends, `vae` holds the averaged weights and so does
    `work`, as a diffusers folder. A state that an earlier call left in `work` (`STATE`) is taken
    up, to the same end. Unless config.train_encoder only the decoder changes, so latents made
    before stay valid; with it, the scaling factor is set to bring latents to unit variance.
    """
    trainer = VAETrainer(vae, read, count, config, seed)
    state = work / STATE
    if state.exists():
        trainer.load(state)
    for progress in trainer.run(config.steps):
        if progress.step % config.save_every == 0 or progress.step == config.steps:
            trainer.save(state)
        yield progress
    trainer.finish()
    vae.save_pretrained(work)

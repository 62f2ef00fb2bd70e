"""The autoencoder: its decoder fine-tuned as in the paper, or all of it trained."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from xmdpt.config import VAEConfig
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.metrics.perceptual import make_perceptual
from xmdpt.support.files import atomic_files, fingerprint
from xmdpt.support.hub import load_pretrained, weights_key
from xmdpt.support.notices import Stopped, notices, stop_if
from xmdpt.support.pictures import to_signed, to_uint8
from xmdpt.support.precision import autocast
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.device import (
    accelerator,
    adamw,
    agreed_precision,
    any_of,
    mean_of_all,
    set_learning_rate,
    share_of,
)
from xmdpt.training.ema import EMA
from xmdpt.training.equivariance import draw_transform, transform
from xmdpt.training.errors import TrainingError
from xmdpt.training.states import STATE, load_newest, read_state, save_state
from xmdpt.training.watch import Watch

READERS = 8
NEEDED = {"step", "precision", "vae", "ema", "optimizer"}
"""What every state holds."""
SAME_WEIGHTS = {"save_every", "gradient_checkpointing"}
"""Settings that do not change the weights, up to rounding."""


def new_vae(config: VAEConfig, size: int) -> AutoencoderKL:
    """Return an untrained autoencoder; a latent cell covers 2^(levels - 1) pixels."""
    levels = len(config.block_out_channels)
    vae: AutoencoderKL = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=8,
        sample_size=size,
    )
    return vae


def load_vae(config: VAEConfig, size: int, seed: int) -> AutoencoderKL:
    """Return the autoencoder to start from: `config.init`, or untrained weights by `seed`.

    Raises ConfigError, which names them, if the weights of `config.init` are missing.
    """
    if config.init is None:
        torch.manual_seed(seed)
        return new_vae(config, size)
    load = partial(AutoencoderKL.from_pretrained, torch_dtype=torch.float32)
    vae: AutoencoderKL = load_pretrained(load, config.init, "vae.init")
    return vae


def vae_key(
    config: VAEConfig, vae: AutoencoderKL, data: DeepFashion, names: Sequence[str], seed: int
) -> str:
    """Return a key for all that the trained weights depend on, to resume by."""
    settings = config.model_dump(exclude=SAME_WEIGHTS)
    pictures = [[name, data.digest(name)] for name in names]
    return fingerprint(settings, weights_key([vae]), pictures, data.size, seed)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Return uint8 (N, H, W, 3) after encoder (its mean) and decoder."""
    made = []
    for batch in np.split(pictures, range(batch_size, len(pictures), batch_size)):
        latents = vae.encode(to_signed(batch).to(vae.device)).latent_dist.mean
        made.append(to_uint8(vae.decode(latents).sample))
    return np.concatenate(made)


class Reconstruction(nn.Module):
    """Losses of one batch of pictures: pixels, perceptual distance, KL.

    All but the decoder is frozen unless the encoder trains.
    """

    def __init__(self, vae: AutoencoderKL, config: VAEConfig) -> None:
        super().__init__()
        self.vae = vae
        self.perceptual = make_perceptual(config.perceptual) if config.perceptual_weight else None
        self.config = config
        vae.requires_grad_(config.train_encoder)
        vae.decoder.requires_grad_(True)
        if vae.post_quant_conv is not None:
            vae.post_quant_conv.requires_grad_(True)

    def forward(
        self, pictures: Tensor, noise: Tensor, factor: float = 1.0, turns: int = 0
    ) -> dict[str, Tensor]:
        """Return scalar losses of pictures (B, 3, H, W) in [-1, 1]; noise is for their latents.

        Latents and pictures are scaled by `factor` and turned before they are compared.
        """
        config = self.config
        with torch.set_grad_enabled(config.train_encoder):
            posterior = self.vae.encode(pictures).latent_dist
        latents = posterior.mean + posterior.std * noise
        cells = pictures.shape[-1] // latents.shape[-1]
        latents = transform(latents, factor, turns, 1)
        pictures = transform(pictures, factor, turns, cells)
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
    """Cut the same random window out of all pictures (B, 3, H, W), mirrored half the time."""
    height, width = pictures.shape[-2:]
    top, left = (
        int(torch.randint(max(side - crop, 0) + 1, (1,), generator=generator))
        for side in (height, width)
    )
    pictures = pictures[..., top : top + crop, left : left + crop]
    return pictures.flip(-1) if torch.rand(1, generator=generator) < 0.5 else pictures


def _permute_colours(pictures: Tensor, orders: Tensor) -> Tensor:
    """Put red, green and blue of each picture (B, 3, H, W) in its order (B, 3).

    An autoencoder that only sees people's colours keeps light and warmth but loses other hues.
    """
    return pictures.gather(1, orders[..., None, None].expand_as(pictures))


@dataclass
class VAEProgress:
    """One step's losses."""

    step: int
    losses: dict[str, float]
    found: bool = False
    """Whether an earlier call made the step."""


class VAETrainer:
    """Autoencoder, its moving average, optimizer and the number of finished steps.

    `read(index)` returns the picture, uint8 (H, W, 3), of each index below `count`; threads read
    the next step's pictures while one step runs.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        read: Callable[[int], np.ndarray],
        count: int,
        config: VAEConfig,
        seed: int,
    ) -> None:
        self.config, self.read, self.count, self.seed = config, read, count, seed
        self.accelerator = accelerator()
        self.watch = Watch(self.accelerator)
        self.part = share_of(self.accelerator, "vae", config.batch_size)
        device = self.accelerator.device
        self.precision = agreed_precision(self.accelerator, config.precision)
        self.vae: AutoencoderKL = vae.to(device)
        self.step = 0
        self.history: list[dict[str, float]] = []
        module = Reconstruction(vae, config)
        self.trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
        optimizer = adamw(self.trained, config.learning_rate)
        self.ema = EMA(vae, config.ema_decay)
        vae.train()
        if config.gradient_checkpointing:
            vae.enable_gradient_checkpointing()
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)

    def save(self, path: Path) -> None:
        """Write all that resuming needs, whole or not at all; one process does it."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "precision": self.precision,
            "vae": self.vae.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
        }
        with self.watch.busy():
            save_state(path, state)

    def load(self, path: Path) -> None:
        """Resume from a state that `save` wrote; `auto` precision keeps the state's.

        Raises DamagedState for a file that is no whole state.
        """
        state = read_state(path, NEEDED)
        self.step, self.history = state["step"], state.get("history", [])
        if self.config.precision == "auto":
            self.precision = state["precision"]
        self.vae.load_state_dict(state["vae"])
        self.ema.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _indices(self, step: int) -> list[int]:
        drawn = batch_indices(self.seed, step, self.config.batch_size, self.count)
        indices: list[int] = drawn[self.part].tolist()
        return indices

    def _draw(self, pictures: np.ndarray) -> tuple[Tensor, Tensor, float, int]:
        """Return all that `Reconstruction` takes, for this process's share of this step."""
        generator = keyed_generator(self.seed, "vae", self.step)
        crops = _crop(to_signed(pictures), self.config.crop, generator)
        if self.config.train_encoder:
            orders = torch.rand(self.config.batch_size, 3, generator=generator)[self.part]
            crops = _permute_colours(crops, orders.argsort(dim=1))
        pixels = 2 ** (len(self.vae.config["block_out_channels"]) - 1)  # of a latent's cell
        cells = (side // pixels for side in crops.shape[-2:])
        shape = (self.config.batch_size, self.vae.config["latent_channels"], *cells)
        noise = torch.randn(shape, generator=generator)[self.part]
        factor, turns = draw_transform(self.config.equivariance, generator)
        device = self.accelerator.device
        crops = crops.contiguous(memory_format=torch.channels_last).to(device)
        return crops, noise.to(device), factor, turns

    def _train_step(self, pictures: np.ndarray) -> VAEProgress:
        drawn = self._draw(pictures)
        with autocast(self.accelerator.device, self.precision):
            losses = self.module(*drawn)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(losses["loss"])
        norm = self.accelerator.clip_grad_norm_(self.trained, 1.0).item()
        values = {
            name: mean_of_all(self.accelerator, value).item() for name, value in losses.items()
        }
        if not (math.isfinite(values["loss"]) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.step}: the loss of the autoencoder is {values['loss']}, the gradient "
                f"norm {norm}; lower vae.learning_rate or train in fp32"
            )
        set_learning_rate(self.optimizer, self.config, self.step)
        self.optimizer.step()
        self.ema.update(self.vae)
        self.step += 1
        self.history.append(values)
        return VAEProgress(self.step, values)

    def run(self, steps: int) -> Iterator[VAEProgress]:
        """Train until `steps` steps are finished, yielding the losses after each."""
        with self.watch, ThreadPoolExecutor(READERS) as readers:
            following = readers.map(self.read, self._indices(self.step))
            while self.step < steps:
                pictures = np.stack([*following])
                if self.step + 1 < steps:
                    following = readers.map(self.read, self._indices(self.step + 1))
                self.watch.at(2 * self.step + 1)
                progress = self._train_step(pictures)
                self.watch.at(2 * self.step)
                yield progress

    @torch.no_grad()
    def finish(self) -> None:
        """Switch to the averaged weights; if the encoder trained, set a new scaling factor."""
        self.vae.load_state_dict(self.ema.model.state_dict())
        self.vae.eval().requires_grad_(False)
        if self.config.train_encoder:
            shown = range(0, self.count, max(1, self.count // 256))
            means = [
                self.vae.encode(to_signed(self.read(i)[None]).to(self.vae.device)).latent_dist.mean
                for i in shown
            ]
            factor = 1 / torch.cat(means).std().item()
            self.vae.register_to_config(scaling_factor=factor)


def train_vae(
    vae: AutoencoderKL,
    read: Callable[[int], np.ndarray],
    count: int,
    config: VAEConfig,
    seed: int,
    work: Path,
) -> Iterator[VAEProgress]:
    """Train on `count` pictures, uint8 (H, W, 3), which `read(index)` returns; save into `work`.

    Yields the losses of each step. At the end `vae` holds the averaged weights, and `work` is their
    diffusers folder. A state that an interrupted call left in `work` is resumed, with the same
    result and the same steps yielded, those of before as `found`. At a scheduler's notice the state
    is saved and Stopped raised. Without `config.train_encoder` only the decoder changes, so
    existing latents stay valid; with it, the scaling factor is set so that latents have unit
    variance. Of several processes (torchrun) each trains on its share of a batch, and the first
    writes.
    """
    trainer = VAETrainer(vae, read, count, config, seed)
    load_newest(work, trainer.load)
    began = trainer.step
    for step, losses in enumerate(trainer.history, trainer.step - len(trainer.history) + 1):
        yield VAEProgress(step, losses, found=True)
    with notices(stop_if(lambda: trainer.step == began)) as asked:
        for progress in trainer.run(config.steps):
            last, stop = progress.step == config.steps, any_of(trainer.accelerator, asked())
            if progress.step % config.save_every == 0 or last or stop:
                trainer.save(work / STATE)
            yield progress
            if stop:
                trainer.accelerator.wait_for_everyone()  # the first has saved: now all may end
                raise Stopped(f"saved at step {progress.step} of {config.steps}")
    trainer.finish()
    if trainer.accelerator.is_main_process:
        with atomic_files(work) as folder:
            vae.save_pretrained(folder)
    trainer.accelerator.wait_for_everyone()

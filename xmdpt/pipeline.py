"""`XMDPTPipeline`: a photo and poses become pictures of that person in those poses."""

from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ImagePipelineOutput
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from xmdpt.data.cache import sample_latent
from xmdpt.data.keypoints import draw_skeleton
from xmdpt.diffusion import guidance_weight, guide
from xmdpt.encoders import Kind, make_encoder
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pictures import to_signed, to_uint8

Generators = torch.Generator | list[torch.Generator] | None
Photo = Image.Image | np.ndarray


class XMDPTPipeline(DiffusionPipeline):
    """Guided sampling of X-MDPT (Section 3.4).

    Args:
        vae, transformer, scheduler: as trained; `make_scheduler()` is the authors' sampler.
        source_encoder, pose_encoder: names of the token encoders, see `xmdpt.encoders`.
        imagenet_normalization: as the features were made that the model was trained on.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        transformer: XMDPTTransformer2DModel,
        scheduler: KarrasDiffusionSchedulers,
        source_encoder: str = "efficientnet_lite0",
        pose_encoder: str = "efficientnet_lite0",
        imagenet_normalization: bool = False,
    ):
        super().__init__()
        self.register_modules(vae=vae, transformer=transformer, scheduler=scheduler)
        self.register_to_config(
            source_encoder=source_encoder,
            pose_encoder=pose_encoder,
            imagenet_normalization=imagenet_normalization,
        )
        self._encoders: dict[str, torch.nn.Module] = {}

    @property
    def size(self) -> int:
        """Side in pixels of the pictures made."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return self.transformer.config.sample_size * factor

    def _encode(self, kind: Kind, pictures: Tensor) -> Tensor:
        if kind not in self._encoders:
            config = self.config
            name = config.source_encoder if kind == "photo" else config.pose_encoder
            self._encoders[kind] = make_encoder(name, kind, config.imagenet_normalization)
        return self._encoders[kind].to(pictures.device)(pictures)

    def _photos(self, source: Photo | list[Photo]) -> np.ndarray:
        """uint8 (B, size, size, 3), squashed by PIL's bicubic."""
        photos = []
        for photo in source if isinstance(source, list) else [source]:
            if isinstance(photo, np.ndarray):
                if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
                    raise ValueError(
                        "a picture must be a PIL image or uint8 (H, W, 3), "
                        f"not {photo.dtype} {photo.shape}"
                    )
                photo = Image.fromarray(photo)
            resized = photo.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
            photos.append(np.array(resized))
        return np.stack(photos)

    def _skeletons(self, pose: Photo | list[Photo]) -> np.ndarray:
        """uint8 (B, size, size, 3): pictures as they are, (18, 2) key points in pixels drawn."""
        poses = pose if isinstance(pose, list) else [pose]
        drawn = [
            draw_skeleton(item, (self.size, self.size))
            if isinstance(item, np.ndarray) and item.ndim == 2
            else item
            for item in poses
        ]
        return self._photos(drawn)

    @torch.no_grad()
    def encode_condition(
        self,
        source: Photo | list[Photo],
        pose: Photo | list[Photo],
        generator: Generators = None,
    ) -> Tensor:
        """The condition vectors (B, D); one source serves many poses and is encoded once."""
        photos = to_signed(self._photos(source)).to(self.device)
        skeletons = to_signed(self._skeletons(pose)).to(self.device)
        if len(photos) not in (1, len(skeletons)):
            raise ValueError(f"{len(photos)} sources do not go with {len(skeletons)} poses")
        if isinstance(generator, list) and len(generator) != len(skeletons):
            raise ValueError(f"{len(generator)} generators do not go with {len(skeletons)} poses")
        repeats = len(skeletons) // len(photos)
        # In full precision, as the features that the model was trained on.
        with torch.autocast(self.device.type, enabled=False):
            moments = self.vae.encode(photos.to(self.vae.dtype)).latent_dist.parameters
            pose_tokens = self._encode("skeleton", skeletons)
            source_tokens = self._encode("photo", photos)
        moments = moments.repeat(repeats, 1, 1, 1)
        noise = randn_tensor(
            moments.chunk(2, dim=1)[0].shape, generator, self.device, moments.dtype
        )
        latent = sample_latent(moments, noise, self.vae.config.scaling_factor)
        dtype = self.transformer.dtype
        return self.transformer.encode_condition(
            pose_tokens.to(dtype), source_tokens.repeat(repeats, 1, 1).to(dtype), latent.to(dtype)
        )

    @torch.no_grad()
    def denoise(
        self,
        condition: Tensor,
        latents: Tensor,
        num_inference_steps: int,
        guidance_scale: float,
        guidance_power: float,
        callback_on_step_end: Callable | None = None,
    ) -> Tensor:
        """From noise to scaled latents (B, C, H, W); both halves of the guidance are one batch."""
        self.scheduler.set_timesteps(num_inference_steps, device=latents.device)
        guided = guidance_scale != 1
        if guided:
            condition = torch.cat([condition, torch.zeros_like(condition)])
        for index, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            scaled = self.scheduler.scale_model_input(latents, t)
            if guided:
                scaled = torch.cat([scaled, scaled])
            # Autocast may have made it bf16, too coarse to sum up over the steps.
            output = self.transformer(scaled, t, condition).sample.to(latents.dtype)
            if guided:
                weight = guidance_weight(t, guidance_scale, guidance_power)
                output = guide(*output.chunk(2), weight.to(output.dtype))
            noise = output.chunk(2, dim=1)[0]
            latents = self.scheduler.step(noise, t, latents).prev_sample
            if callback_on_step_end is not None:
                changed = callback_on_step_end(self, index, t, {"latents": latents})
                latents = changed.pop("latents", latents)
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Scaled latents (B, C, H, W) -> uint8 (B, size, size, 3)."""
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        with torch.autocast(self.device.type, enabled=False):
            return to_uint8(self.vae.decode(scaled).sample)

    @torch.no_grad()
    def __call__(
        self,
        source: Photo | list[Photo],
        pose: Photo | list[Photo],
        num_inference_steps: int = 50,
        guidance_scale: float = 2.0,
        guidance_power: float = 0.01,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable | None = None,
    ) -> ImagePipelineOutput | tuple:
        """Draw the person of `source` in each `pose`.

        Args:
            source: a photo, or one for each pose. pose: skeleton pictures or key points (18, 2)
                in pixels of the squared picture, -1 missing; one or a list.
            generator: one for all, or one for each pose, which makes a picture independent of the
                batch that it is in.
            guidance_scale, guidance_power: w(t) of Eq. 6; a scale of 1 switches guidance off.
            output_type: "pil", "np" (uint8) or "latent".
        """
        condition = self.encode_condition(source, pose, generator)
        config = self.transformer.config
        shape = (len(condition), config.in_channels, config.sample_size, config.sample_size)
        latents = randn_tensor(shape, generator, self.device, self.transformer.dtype)
        latents = self.denoise(
            condition,
            latents * self.scheduler.init_noise_sigma,
            num_inference_steps,
            guidance_scale,
            guidance_power,
            callback_on_step_end,
        )
        images = latents if output_type == "latent" else self.decode(latents)
        if output_type == "pil":
            images = [Image.fromarray(image) for image in images]
        return ImagePipelineOutput(images=images) if return_dict else (images,)

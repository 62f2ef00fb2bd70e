"""`XMDPTPipeline`: a photo and poses become pictures of that person in those poses."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

import xmdpt.extensions.context  # from_pretrained finds classes only in imported modules
import xmdpt.model
from xmdpt.config import MIN_STEPS, ConfigError
from xmdpt.diffusion import (
    check_scheduler,
    guidance_weight,
    guide,
    learns_variance,
    step_arguments,
)
from xmdpt.features.cache import sample_latent
from xmdpt.features.encoders import Kind, make_encoder
from xmdpt.photos.inputs import Source, read_inputs
from xmdpt.photos.poses import Pose, PoseFinder
from xmdpt.presets import Learned, Preset, best_preset, planned
from xmdpt.support.pictures import to_signed, to_uint8
from xmdpt.support.precision import full_float32

Generators = torch.Generator | list[torch.Generator] | None
Images = Tensor | np.ndarray | list[Image.Image]
Callback = Callable[["XMDPTPipeline", int, Tensor, dict[str, Tensor]], dict[str, Tensor]]
OUTPUT_TYPES = ("pil", "np", "pt", "latent")
ENCODING = ("source_encoder", "pose_encoder", "imagenet_normalization", "encoder_precision")
"""Settings of a pipeline on which its conditions depend."""


class XMDPTPipeline(DiffusionPipeline):
    """Guided sampling of X-MDPT (Section 3.4).

    Args:
        vae, transformer, scheduler: the trained networks (`XMDPTTransformer2DModel`) and a sampler:
            `make_scheduler()` is the authors', any in diffusers that takes predicted noise will do
            (after training with `objective: flow`, any that takes flow_prediction).
        source_encoder, pose_encoder: names of the token encoders, see `xmdpt.features.encoders`.
        imagenet_normalization, encoder_precision: as for the features that the model was trained
            on; "auto" is bf16 on a device where that is faster (`xmdpt.support.precision`).
        fast_timesteps: those learned for these weights, from high to low (`xmdpt.presets`).
        turbo, turbo_timesteps, turbo_scale: a network that has learned guidance of this scale, and
            its timesteps.
    """

    model_cpu_offload_seq = "transformer->turbo->vae"  # type: ignore[assignment]  # declared None
    _optional_components: list[str] = ["turbo"]  # noqa: RUF012  # declared so by diffusers
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents", "condition"]
    config: Any  # settings are both keys and attributes
    vae: AutoencoderKL
    transformer: "xmdpt.model.XMDPTTransformer2DModel"
    turbo: "xmdpt.model.XMDPTTransformer2DModel | None"
    scheduler: Any  # diffusers' schedulers share no base class that declares what they do

    def __init__(
        self,
        vae: AutoencoderKL,
        transformer: ModelMixin,
        scheduler: KarrasDiffusionSchedulers,
        source_encoder: str = "efficientnet_lite0",
        pose_encoder: str = "efficientnet_lite0",
        imagenet_normalization: bool = False,
        encoder_precision: str = "fp32",  # a Precision; diffusers warns of other annotations
        fast_timesteps: list[int] | None = None,
        turbo: ModelMixin | None = None,
        turbo_timesteps: list[int] | None = None,
        turbo_scale: float | None = None,
    ):
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            vae=vae, transformer=transformer, scheduler=scheduler, turbo=turbo
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            source_encoder=source_encoder,
            pose_encoder=pose_encoder,
            imagenet_normalization=imagenet_normalization,
            encoder_precision=encoder_precision,
            fast_timesteps=fast_timesteps,
            turbo_timesteps=turbo_timesteps,
            turbo_scale=turbo_scale,
        )
        self._encoders: dict[str, torch.nn.Module] = {}
        self.denoiser: torch.nn.Module | None = None  # while one takes the place of `transformer`
        self.busy = False  # while a call has put its preset's scheduler in place
        self._interrupt = False
        self._guidance_scale = 1.0
        self._num_timesteps = 0

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> "XMDPTPipeline":
        """A pipeline with the components and settings of another, see `DiffusionPipeline`."""
        # diffusers passes on only components of exactly the annotated type, here a base class.
        there = pipeline.components
        networks = {name: there[name] for name in ("transformer", "turbo") if name in there}
        made: XMDPTPipeline = super().from_pipe(  # type: ignore[no-untyped-call]
            pipeline, **networks | kwargs
        )
        return made

    def to(self, *args: Any, **kwargs: Any) -> "XMDPTPipeline":
        """As of diffusers; the token encoders, which are no components, go along."""
        super().to(*args, **kwargs)
        if not hasattr(self.vae, "_hf_hook"):  # else they wait on the CPU, see `encode_tokens`
            for encoder in self._encoders.values():
                encoder.to(self.device)
        return self

    @property
    def size(self) -> int:
        """Side in pixels of the pictures made."""
        factor = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        return int(self.transformer.config.sample_size * factor)

    @property
    def interrupt(self) -> bool:
        """Whether a callback set `_interrupt`, which skips all remaining steps."""
        return self._interrupt

    @property
    def guidance_scale(self) -> float:
        """The scale of the next step; a callback may change it by `_guidance_scale`."""
        return self._guidance_scale

    @property
    def learned(self) -> Learned:
        """What these weights have for the presets beyond `exact`."""
        scale = None if self.turbo is None else self.config["turbo_scale"]
        return Learned(self.config["fast_timesteps"], self.config["turbo_timesteps"], scale)

    @property
    def best_preset(self) -> Preset:
        """The fastest preset that draws as well as `exact`, of those that these weights have."""
        return best_preset(self.scheduler, self.learned)

    @property
    def num_timesteps(self) -> int:
        """How many steps the current call takes."""
        return self._num_timesteps

    def encode_tokens(self, kind: Kind, pictures: Tensor) -> Tensor:
        """Tokens (B, M, width) of pictures (B, 3, H, W) in [-1, 1]; loads the encoder once."""
        if kind not in self._encoders:
            config = self.config
            field = "source_encoder" if kind == "photo" else "pose_encoder"
            self._encoders[kind] = make_encoder(
                config[field],
                kind,
                config.imagenet_normalization,
                config.encoder_precision,
                f"{field} in model_index.json",
            )
        encoder = self._encoders[kind].to(pictures.device)
        tokens: Tensor = encoder(pictures)
        # The encoders are no components, so diffusers' hooks do not offload them.
        if hasattr(self.vae, "_hf_hook"):
            encoder.to("cpu")
        return tokens

    def _check_tokens(self, kind: Kind, tokens: Tensor) -> None:
        """Raise ConfigError if an encoder cannot be the one that the model was trained with."""
        name, model = ("source" if kind == "photo" else "pose"), self.transformer.config
        wanted = (model[f"{name}_tokens"], model[f"{name}_width"])
        if tuple(tokens.shape[1:]) != wanted:
            raise ConfigError(
                f"{name}_encoder in model_index.json: {self.config[f'{name}_encoder']} makes "
                f"{tokens.shape[1]} tokens of {tokens.shape[2]} numbers, but the transformer was "
                f"trained on {wanted[0]} of {wanted[1]}: name the encoder that it was trained with"
            )

    def _encode_moments(self, pixels: Tensor) -> Tensor:
        """Mean and log-variance (B, 2C, H, W) of pictures (B, 3, size, size) in [-1, 1]."""
        moments: Tensor = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.parameters
        # The VAE is last in the offload sequence: no later network would make its hook offload it.
        for hook in getattr(self, "_all_hooks", []):
            hook.offload()
        return moments

    @torch.no_grad()
    def encode_condition(
        self,
        source: Source | Sequence[Source],
        pose: Pose | list[Pose],
        generator: Generators = None,
        num_images_per_prompt: int = 1,
        pose_finder: PoseFinder | None = None,
        any_source: bool = False,
    ) -> Tensor:
        """The condition vectors (B, D), B poses times images; a single source is encoded once."""
        device = self._execution_device
        generators = len(generator) if isinstance(generator, list) else None
        images = num_images_per_prompt
        given = read_inputs(source, pose, self.size, images, generators, pose_finder, any_source)
        # As for the features that the model was trained on: the VAE in full precision, the encoders
        # in their own.
        with torch.autocast(device.type, enabled=False), full_float32():
            pixels = to_signed(given.photos).to(device)
            moments = self._encode_moments(pixels)
            source_tokens = self.encode_tokens("photo", pixels)
            pose_tokens = self.encode_tokens("skeleton", to_signed(given.skeletons).to(device))
        self._check_tokens("photo", source_tokens)
        self._check_tokens("skeleton", pose_tokens)
        rows = torch.arange(len(pixels), device=device).view(given.people, -1)  # a person each
        rows = rows.repeat_interleave(given.count // given.people, 0)
        moments, source_tokens = moments[rows.flatten()], source_tokens[rows.flatten()]
        pose_tokens = pose_tokens.repeat_interleave(num_images_per_prompt, 0)
        # In float32 whatever the dtype of the weights, so that a seed means one picture.
        noise = randn_tensor((given.count, *moments.chunk(2, 1)[0].shape[1:]), generator, device)
        noise = noise.repeat_interleave(rows.shape[1], 0)  # so that two of one photo are as one
        latent = sample_latent(moments, noise, self.vae.config["scaling_factor"])
        dtype = self.transformer.dtype
        condition: Tensor = self.transformer.encode_condition(
            pose_tokens.to(dtype), source_tokens.to(dtype), latent.to(dtype)
        )
        return condition

    def _predict(self, latents: Tensor, t: Tensor, condition: Tensor, power: float) -> Tensor:
        """Guided noise and variance (B, 2C, H, W), from both guidance passes in one batch."""
        scale = self._guidance_scale
        scaled = self.scheduler.scale_model_input(latents, t).to(self.transformer.dtype)
        if scale != 1:
            scaled = torch.cat([scaled, scaled])
            condition = torch.cat([condition, torch.zeros_like(condition)])
        network = self.transformer if self.denoiser is None else self.denoiser
        output: Tensor = network(scaled, t, condition).sample.to(latents.dtype)
        if scale == 1:
            return output
        conditional, unconditional = output.chunk(2)
        weight = guidance_weight(t, scale, power)
        return guide(conditional, unconditional, weight.to(output.dtype))

    @torch.no_grad()
    def denoise(
        self,
        condition: Tensor,
        latents: Tensor,
        num_inference_steps: int,
        guidance_scale: float,
        guidance_power: float,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        generator: Generators = None,
        eta: float = 0.0,
        timesteps: Sequence[int] | None = None,
    ) -> Tensor:
        """From standard normal noise to scaled latents (B, C, H, W).

        `timesteps`, from high to low, take the place of the scheduler's own, if it takes any.
        """
        check_scheduler(self.scheduler)
        steps = (num_inference_steps,) if timesteps is None else ()
        listed = {} if timesteps is None else {"timesteps": [*timesteps]}
        self.scheduler.set_timesteps(*steps, **listed, device=latents.device)
        latents = latents * self.scheduler.init_noise_sigma  # which depends on the timesteps
        arguments = step_arguments(self.scheduler, generator=generator, eta=eta)
        takes_variance = learns_variance(self.scheduler)
        self._interrupt = False
        self._guidance_scale = guidance_scale
        self._num_timesteps = len(self.scheduler.timesteps)
        for index, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            if self._interrupt:
                continue
            output = self._predict(latents, t, condition, guidance_power)
            if not takes_variance:
                output = output.chunk(2, dim=1)[0]
            latents = self.scheduler.step(output, t, latents, **arguments).prev_sample
            if callback_on_step_end is not None:
                tensors = {"latents": latents, "condition": condition}
                named = {name: tensors[name] for name in callback_on_step_end_tensor_inputs}
                changed = callback_on_step_end(self, index, t, named)
                latents = changed.pop("latents", latents)
                condition = changed.pop("condition", condition)
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, H, W) -> pictures (B, 3, size, size), about -1 to 1."""
        scaled = (latents / self.vae.config["scaling_factor"]).to(self.vae.dtype)
        with torch.autocast(latents.device.type, enabled=False):
            pictures: Tensor = self.vae.decode(scaled).sample
        return pictures

    def _check(self, steps: int, images: int, output_type: str, names: Sequence[str]) -> None:
        if steps < MIN_STEPS:
            raise ValueError(f"num_inference_steps must be {MIN_STEPS} or more, not {steps}")
        if images < 1:
            raise ValueError(f"num_images_per_prompt must be 1 or more, not {images}")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type '{output_type}' is not one of {', '.join(OUTPUT_TYPES)}")
        unknown = set(names) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs {sorted(unknown)} are not among "
                f"{self._callback_tensor_inputs}"
            )

    @torch.no_grad()
    def __call__(
        self,
        source: Source | Sequence[Source],
        pose: Pose | list[Pose],
        num_inference_steps: int | None = None,
        guidance_scale: float = 2.0,
        guidance_power: float = 0.01,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        pose_finder: PoseFinder | None = None,
        preset: Preset = "exact",
        any_source: bool = False,
    ) -> ImagePipelineOutput | tuple[Images]:
        """Draw the person of `source` in each `pose`.

        Args:
            source: a photo, or one for each pose: PIL or uint8 (H, W, 3), resized to a square. A
                tuple is several photos of one person (in a list, since a lone one is a list).
            pose: skeleton pictures; key points (18 or 17, 2) in pixels of the square picture, -1
                missing; OpenPose JSON; or photos, with `pose_finder`. One or a list.
            generator: one for all, or one for each picture, which makes a picture independent of
                the others in its batch.
            guidance_scale, guidance_power: w(t) of Eq. 6; a scale of 1 switches guidance off.
                `turbo` draws with the one that it has learned alone.
            eta: of DDIM, 0 to 1. latents: noise (B, C, H, W) to start from.
            output_type: "pil"; "np" (B, H, W, 3) or "pt" (B, 3, H, W) in [0, 1]; or "latent".
            num_inference_steps: by default the preset's.
            preset: "exact", the paper's 50 steps, "fast" or "turbo", see `xmdpt.presets`.
            pose_finder: finds the joints if poses are photos, see `photos.subjects.find_pose`.
            any_source: takes pictures as they are. Else sources of one colour, skeletons as a
                source, and photos as a pose without `pose_finder` are refused.

        Raises ValueError for bad arguments. The pictures of one pose follow each other.
        """
        names = callback_on_step_end_tensor_inputs
        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            names = callback_on_step_end.tensor_inputs
        if not (math.isfinite(guidance_scale) and 0 < guidance_power < math.inf and 0 <= eta <= 1):
            raise ValueError("need a finite guidance_scale, guidance_power above 0, eta in 0 to 1")
        with planned(self, preset, num_inference_steps, guidance_scale) as chosen:
            self._check(chosen.steps, num_images_per_prompt, output_type, names)
            check_scheduler(self.scheduler)  # before anything is encoded
            learns_variance(self.scheduler)
            condition = self.encode_condition(
                source, pose, generator, num_images_per_prompt, pose_finder, any_source
            )
            latents = self.denoise(
                condition,
                self._start(condition, latents, generator),
                chosen.steps,
                guidance_scale if chosen.guided else 1.0,
                guidance_power,
                callback_on_step_end,
                names,
                generator,
                eta,
                chosen.timesteps,
            )
        images = self._output(latents, output_type)
        self.maybe_free_model_hooks()  # type: ignore[no-untyped-call]
        if not return_dict:
            return (images,)
        return ImagePipelineOutput(images=images)  # type: ignore[arg-type]  # tensors for pt, latent

    def _start(self, condition: Tensor, latents: Tensor | None, generator: Generators) -> Tensor:
        """Noise (B, C, H, W) for each condition: `latents`, if given, or drawn."""
        config = self.transformer.config
        shape = (len(condition), config.in_channels, config.sample_size, config.sample_size)
        if latents is None:
            latents = randn_tensor(shape, generator, condition.device)
        elif latents.shape != shape:
            raise ValueError(f"latents must have shape {shape}, not {tuple(latents.shape)}")
        # Half precision, of the model or of autocast, is too coarse to add up over the steps.
        return latents.to(condition.device, torch.promote_types(condition.dtype, torch.float32))

    def _output(self, latents: Tensor, output_type: str) -> Images:
        if output_type == "latent":
            return latents
        decoded = self.decode(latents)
        if output_type == "pil":
            return [Image.fromarray(image) for image in to_uint8(decoded)]
        unit = (decoded.float() / 2 + 0.5).clamp(0, 1)
        return unit if output_type == "pt" else unit.movedim(1, -1).cpu().numpy()

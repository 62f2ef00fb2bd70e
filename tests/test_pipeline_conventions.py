"""diffusers' conventions: schedulers, outputs, formats of poses, errors."""

import json
import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    IPNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.callbacks import PipelineCallback
from helpers.networks import make_pipeline
from helpers.people import SIZE, body
from PIL import Image

from xmdpt import XMDPTPipeline
from xmdpt.config import ConfigError
from xmdpt.photos.poses import as_list, draw_pose, read_picture
from xmdpt.support.pictures import to_signed

POSE = body(0.18, (4, 4))
SOMEBODY = {"pose_keypoints_2d": np.c_[POSE, np.ones(18)].ravel().tolist()}
PHOTO = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def pipeline(tiny_vae):
    pipeline = make_pipeline(tiny_vae)
    torch.nn.init.normal_(pipeline.transformer.final_layer.linear.weight, std=0.02)
    return pipeline


def draw(pipe, pose=POSE, source=PHOTO, **options):
    options = {"num_inference_steps": 2, "output_type": "latent"} | options
    generator = options.pop("generator", torch.Generator().manual_seed(0))
    return pipe(source, pose, generator=generator, **options).images


@pytest.mark.parametrize(
    ("kind", "spacing"),
    [
        (DDIMScheduler, "trailing"),
        (DPMSolverMultistepScheduler, "linspace"),
        (UniPCMultistepScheduler, "linspace"),
        (EulerDiscreteScheduler, "trailing"),
    ],
)
def test_solvers_of_one_equation_agree(pipeline, kind, spacing):
    """All of them begin at the last timestep, as ours does; else they solve another problem."""
    expected = draw(pipeline, num_inference_steps=100)
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, timestep_spacing=spacing)
    made = draw(pipeline, num_inference_steps=100)
    assert (made - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prediction_type": "v_prediction"}, "prediction_type is v_prediction, but the network"),
        ({"prediction_type": "sample"}, "prediction_type is sample, but the network"),
        ({"beta_end": 0.012}, "beta_end is 0.012, but the network was trained with 0.02"),
        ({"beta_schedule": "scaled_linear"}, "beta_schedule is scaled_linear, but"),
        ({"num_train_timesteps": 500}, "num_train_timesteps is 500, but"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True, but"),
        ({"trained_betas": [0.01] * 1000}, "trained_betas is .*, but"),
    ],
)
def test_a_scheduler_that_does_not_fit_the_weights_is_refused(pipeline, changes, said):
    config = pipeline.scheduler.config
    pipeline.scheduler = EulerDiscreteScheduler.from_config(config, **changes)
    with pytest.raises(ValueError, match=f"EulerDiscreteScheduler: {said}"):
        draw(pipeline)


@pytest.mark.parametrize(
    "kind", [EDMEulerScheduler, IPNDMScheduler, FlowMatchEulerDiscreteScheduler]
)
def test_a_sampler_of_other_networks_is_refused(pipeline, kind):
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    with pytest.raises(ValueError, match=f"{kind.__name__}: has no beta_start"):
        draw(pipeline)


def test_a_flow_needs_sigmas_of_a_flow(pipeline):
    kind, config = DPMSolverMultistepScheduler, pipeline.scheduler.config
    pipeline.scheduler = kind.from_config(config, prediction_type="flow_prediction")
    with pytest.raises(ValueError, match="use_flow_sigmas is False"):
        draw(pipeline)


def test_a_seed_is_one_picture_whatever_was_drawn_before(pipeline):
    """How large this scheduler wants the noise depends on the timesteps that it is set to."""
    kind = EulerDiscreteScheduler
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, timestep_spacing="leading")
    first = draw(pipeline, num_inference_steps=10)
    draw(pipeline, num_inference_steps=50)
    assert draw(pipeline, num_inference_steps=10).equal(first)


def test_a_compiled_transformer_takes_the_models_place(pipeline):
    expected = draw(pipeline)
    pipeline.transformer = torch.compile(pipeline.transformer, backend="eager")
    torch.testing.assert_close(draw(pipeline), expected, rtol=1e-4, atol=1e-5)


def test_ddpm_uses_the_learned_variance(pipeline):
    config = pipeline.scheduler.config
    made = {}
    for kind in ("learned_range", "fixed_small"):
        pipeline.scheduler = DDPMScheduler.from_config(config, variance_type=kind)
        made[kind] = draw(pipeline, num_inference_steps=10)
        assert made[kind].shape == (1, 4, 8, 8) and made[kind].isfinite().all()
        assert made[kind].equal(draw(pipeline, num_inference_steps=10))
    assert not made["learned_range"].equal(made["fixed_small"])


def test_output_types_are_one_picture(pipeline):
    made = {kind: draw(pipeline, output_type=kind) for kind in ("pil", "np", "pt")}
    assert made["np"].shape == (1, SIZE, SIZE, 3) and made["pt"].shape == (1, 3, SIZE, SIZE)
    assert np.array_equal(made["pt"].movedim(1, -1).numpy(), made["np"])
    assert abs(np.array(made["pil"][0]) / 255 - made["np"][0]).max() < 1 / 255 + 1e-6


def test_images_of_one_pose_lie_side_by_side(pipeline):
    generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
    made = draw(pipeline, [POSE, POSE[:, ::-1]], num_images_per_prompt=2, generator=generators)
    for seed, pose in enumerate([POSE, POSE, POSE[:, ::-1], POSE[:, ::-1]]):
        alone = draw(pipeline, pose, generator=[torch.Generator().manual_seed(seed)])
        torch.testing.assert_close(alone[0], made[seed], rtol=1e-4, atol=1e-4)


def test_one_photo_is_encoded_once(pipeline):
    sizes = []
    pipeline.vae.encoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    draw(pipeline, [POSE] * 3, num_images_per_prompt=2)
    assert sizes == [1]


def test_double_precision_and_offload_order(pipeline):
    assert pipeline.model_cpu_offload_seq == "transformer->turbo->vae"
    assert draw(pipeline.to(torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_seed_is_one_picture_in_any_precision(pipeline, dtype):
    """Noise is drawn, and steps are summed, in float32."""
    expected = draw(pipeline, num_inference_steps=20)
    made = draw(pipeline.to(dtype), num_inference_steps=20)
    assert made.dtype == torch.float32
    assert (made - expected).norm() < 0.05 * expected.norm()


def test_components_make_another_pipeline(pipeline):
    again = XMDPTPipeline(**pipeline.components)
    again.set_progress_bar_config(disable=True)
    assert draw(again).equal(draw(pipeline))


def test_a_pipeline_from_another_keeps_its_settings(pipeline):
    pipeline.register_to_config(imagenet_normalization=True)
    again = XMDPTPipeline.from_pipe(pipeline)
    again.set_progress_bar_config(disable=True)
    assert again.transformer is pipeline.transformer and again.config.imagenet_normalization
    assert draw(again).equal(draw(pipeline))


def test_a_callback_of_diffusers_changes_the_guidance(pipeline):
    class Off(PipelineCallback):
        tensor_inputs: ClassVar[list[str]] = ["condition"]

        def callback_fn(self, pipe, index, timestep, tensors):
            assert tensors["condition"].shape == (1, pipe.transformer.config.hidden_size)
            seen.append((pipe.num_timesteps, pipe.guidance_scale))
            pipe._guidance_scale = 1.0
            return tensors

    seen = []
    made = draw(pipeline, guidance_scale=3.0, callback_on_step_end=Off())
    assert seen == [(2, 3.0), (2, 1.0)]
    assert not made.equal(draw(pipeline, guidance_scale=3.0))
    assert not made.equal(draw(pipeline, guidance_scale=1.0))


def test_a_solver_that_would_take_half_the_variance_is_refused(pipeline):
    learned = DDPMScheduler.from_config(pipeline.scheduler.config, variance_type="learned_range")
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(learned.config)
    with pytest.raises(ValueError, match="variance_type=None"):
        draw(pipeline)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(learned.config, variance_type=None)
    assert draw(pipeline).isfinite().all()
    pipeline.scheduler = DDIMScheduler.from_config(learned.config, timestep_spacing="trailing")
    assert draw(pipeline).isfinite().all(), "which never asks for a variance"


def test_another_encoder_than_that_of_the_training_is_refused(pipeline):
    pipeline.transformer.register_to_config(source_width=7)
    with pytest.raises(ConfigError, match=r"source_encoder in model_index.json: .*of 7: name"):
        draw(pipeline)


def test_a_photo_is_read_as_a_camera_meant_it():
    """16 bits, transparency and EXIF rotation, in pictures opened by the caller."""
    grey = np.full((SIZE, SIZE), 128 * 257, np.uint16)
    assert (read_picture(Image.fromarray(grey), SIZE) == 128).all()
    clear = Image.new("RGBA", (SIZE, SIZE), (9, 9, 9, 0))
    assert (read_picture(clear, SIZE) == 255).all()
    lying = Image.fromarray(PHOTO).rotate(90)
    lying.getexif()[0x0112] = 6
    assert np.array_equal(read_picture(lying, SIZE), PHOTO)


def test_every_form_of_one_pose_draws_the_same(tmp_path):
    openpose = {"people": [{"pose_keypoints_2d": np.c_[POSE, np.ones(18)].ravel().tolist()}]}
    (tmp_path / "pose.json").write_text(json.dumps(openpose))
    skeleton = draw_pose(POSE, SIZE)
    assert skeleton.any()
    tensor = torch.from_numpy(POSE).float().requires_grad_()
    forms = [POSE.tolist(), tensor, np.c_[POSE, np.ones(18)], skeleton]
    for form in [*forms, Image.fromarray(skeleton)]:
        assert len(as_list(form)) == 1
        assert np.array_equal(draw_pose(as_list(form)[0], SIZE), skeleton)
    assert np.array_equal(draw_pose(PHOTO, SIZE, lambda photo, size: POSE), skeleton)
    framed = draw_pose(openpose, SIZE)
    assert np.array_equal(draw_pose(tmp_path / "pose.json", SIZE), framed)
    larger = {"people": [{"pose_keypoints_2d": np.c_[POSE * 8, np.ones(18)].ravel().tolist()}]}
    assert abs(draw_pose(larger, SIZE).astype(int) - framed).mean() < 8  # framed to the person
    assert len(as_list(np.stack([POSE, POSE]))) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"output_type": "jpeg"}, "output_type 'jpeg'"),
        ({"num_inference_steps": 1}, "num_inference_steps must be 2 or more, not 1"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt must be 1 or more"),
        ({"pose": []}, "pose: an empty list"),
        ({"source": []}, "source: an empty list"),
        ({"source": "me.png"}, "not str"),
        ({"pose": {"people": None}}, "must be a list of"),
        ({"pose": {"people": [3]}}, "must be a list of"),
        ({"pose": {"people": [SOMEBODY, SOMEBODY]}}, "with 2 people; it must hold one"),
        ({"pose": {"people": [{}]}}, "pose: pose_keypoints_2d must hold"),
        ({"pose": body(0.18, (4, 44))}, "outside the 64x64 picture: .*square picture"),
        ({"pose": POSE * 1e300}, "cannot be a pixel"),
        (
            {"pose": PHOTO, "pose_finder": lambda photo, size: POSE * 9},
            "pose_finder must return pixels",
        ),
        ({"guidance_scale": math.nan}, "finite"),
        ({"guidance_power": math.inf}, "finite"),
        ({"guidance_power": -1.0}, "guidance_power above 0"),
        ({"eta": 1.2}, "eta in 0 to 1"),
        ({"eta": -0.5}, "eta in 0 to 1"),
        ({"source": np.zeros((0, 0, 3), np.uint8)}, "0x0 pixels"),
        ({"source": Image.new("RGB", (1, 1))}, "1x1 pixels"),
        ({"source": Image.new("RGB", (750, 1101), "white")}, "source: .* of one colour"),
        ({"pose": np.full((18, 2), 7.0)}, r"all joints lie within 0\.0 pixels"),
        ({"pose": np.full((18, 2), np.nan)}, "NaN"),
        ({"pose": np.full((18, 2), -1.0)}, "needs 4 or more"),
        ({"pose": [POSE, np.full((18, 2), -1.0)]}, "pose 2: .*needs 4"),
        ({"source": [PHOTO, np.full_like(PHOTO, 9)], "pose": [POSE] * 2}, "source 2: .*one colour"),
        ({"pose": np.zeros((5, 2))}, "needs 18"),
        ({"pose": 3}, "not int"),
        ({"latents": torch.zeros(1, 4, 3, 3)}, "latents must have shape"),
        ({"callback_on_step_end_tensor_inputs": ["x"]}, "not among"),
    ],
)
def test_what_cannot_be_used_is_named(pipeline, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw(pipeline, **options)


@torch.no_grad()
def test_the_condition_sees_the_latent_as_scaled_for_diffusion(pipeline):
    seen = []
    embed = pipeline.transformer.patch_embed
    embed.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    pipeline.encode_condition(PHOTO, POSE, torch.Generator().manual_seed(0))
    posterior = pipeline.vae.encode(to_signed(PHOTO[None])).latent_dist
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    expected = (posterior.mean + posterior.std * noise) * pipeline.vae.config.scaling_factor
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize("how", [{"guidance_power": 4.0}, {"eta": 1.0}])
def test_what_a_call_asks_for_reaches_its_steps(pipeline, how):
    generator = torch.Generator().manual_seed(0)
    condition = pipeline.encode_condition(PHOTO, POSE, generator)
    noise = torch.randn((1, 4, 8, 8), generator=generator)
    settings = {"guidance_scale": 2.0, "guidance_power": 0.01} | how
    expected = pipeline.denoise(condition, noise, 5, generator=generator, **settings)
    assert draw(pipeline, num_inference_steps=5, **how).equal(expected)
    assert not draw(pipeline, num_inference_steps=5).equal(expected)


def test_an_interrupt_skips_the_remaining_steps(pipeline):
    seen = []

    def stop(pipe, index, t, tensors):
        pipe._interrupt = True
        seen.append(tensors["latents"])
        return tensors

    made = draw(pipeline, num_inference_steps=5, callback_on_step_end=stop)
    assert len(seen) == 1 and made.equal(seen[0])


def test_the_autoencoder_takes_no_part_in_autocast(pipeline):
    seen = []
    for part in (pipeline.vae.encoder, pipeline.vae.decoder):
        part.register_forward_hook(lambda _, __, made: seen.append(made.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        draw(pipeline, output_type="np")
    assert seen == [torch.float32, torch.float32]


def test_a_place_between_variances_is_not_taken_for_a_variance(pipeline):
    config = pipeline.scheduler.config
    pipeline.scheduler = DDPMScheduler.from_config(config, variance_type="learned")
    with pytest.raises(ValueError, match="variance_type='learned_range'"):
        draw(pipeline)


def test_another_kind_of_pipeline_gives_its_autoencoder(pipeline):
    class Other(DiffusionPipeline):
        def __init__(self, vae, scheduler):
            super().__init__()
            self.register_modules(vae=vae, scheduler=scheduler)

    other = Other(pipeline.vae, pipeline.scheduler)
    made = XMDPTPipeline.from_pipe(other, transformer=pipeline.transformer)
    assert made.vae is pipeline.vae and made.turbo is None
    with pytest.raises(ValueError, match="expected"):
        XMDPTPipeline.from_pipe(other)


def test_what_does_not_fit_is_told_before_anything_is_encoded(pipeline):
    seen = []
    pipeline.vae.encoder.register_forward_hook(lambda *_: seen.append("vae"))

    def find(photo, size):
        seen.append("finder")
        return POSE

    with pytest.raises(ValueError, match="2 sources for 3 poses"):
        draw(pipeline, [PHOTO] * 3, [PHOTO] * 2, pose_finder=find)
    config = pipeline.scheduler.config
    pipeline.scheduler = EulerDiscreteScheduler.from_config(config, beta_end=0.012)
    with pytest.raises(ValueError, match="beta_end"):
        draw(pipeline)
    assert seen == []

"""Sampling: no dead compute, one implementation for pipeline and stage, exact to repeat."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks import make_pipeline
from helpers.people import SIZE
from helpers.repository import ROOT
from PIL import Image

from xmdpt import XMDPTPipeline
from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion, read_picture
from xmdpt.data.keypoints import draw_skeleton
from xmdpt.data.pairs import result_name
from xmdpt.diffusion import guide
from xmdpt.features.cache import sample_latent
from xmdpt.features.encoders import make_encoder
from xmdpt.photos.framing import squash
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import autocast
from xmdpt.support.random import keyed_generator
from xmdpt.weights.runs import CODE, sample_pairs


@pytest.fixture
def pipeline(tiny_vae):
    return make_pipeline(tiny_vae)


@pytest.fixture(scope="module")
def data(people):
    return DeepFashion(people, SIZE)


@pytest.fixture
def photo(data):
    return data.picture(data.pictures("test")[0])


def poses(data, count=2):
    return [data.skeleton(name) for name in data.pictures("train")[:count]]


def count_calls(model):
    calls = {"blocks": 0, "canet": 0}

    def hook(kind):
        def count(*_):
            calls[kind] += 1

        return count

    for block in model.blocks:
        block.register_forward_hook(hook("blocks"))
    model.canet.register_forward_hook(hook("canet"))
    return calls


def test_a_guided_picture_costs_steps_times_depth_block_calls(pipeline, photo, data):
    calls = count_calls(pipeline.transformer)
    pipeline(photo, poses(data, 1), num_inference_steps=50, output_type="latent")
    assert calls == {"blocks": 50 * pipeline.transformer.config.depth, "canet": 1}


def test_same_seed_same_picture_in_any_batch(pipeline, photo, data):
    def draw(chosen):
        generators = [keyed_generator(0, index) for index in chosen]
        skeletons = [poses(data, 3)[index] for index in chosen]
        return pipeline(
            [photo] * len(chosen), skeletons, num_inference_steps=3, generator=generators,
            output_type="latent",
        ).images  # fmt: skip

    together = draw([0, 1, 2])
    one_photo = pipeline(
        photo,
        poses(data, 3),
        num_inference_steps=3,
        generator=[keyed_generator(0, index) for index in range(3)],
        output_type="latent",
    ).images
    torch.testing.assert_close(one_photo, together, rtol=1e-4, atol=1e-4)
    for index in range(3):
        torch.testing.assert_close(draw([index])[0], together[index], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[0], together[1])


def test_key_points_are_drawn_as_the_skeleton_picture(pipeline, photo, data):
    keypoints = np.random.default_rng(0).uniform(0, SIZE, (18, 2))
    skeleton = draw_skeleton(keypoints, (SIZE, SIZE))
    pictures = []
    for pose in (keypoints, skeleton, Image.fromarray(skeleton)):
        generator = torch.Generator().manual_seed(3)
        made = pipeline(
            Image.fromarray(photo),
            pose,
            num_inference_steps=2,
            generator=generator,
            output_type="np",
        )
        pictures.append(made.images)
    assert pictures[0].shape == (1, SIZE, SIZE, 3)
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])


def test_guidance_scale_one_is_the_conditional_model_alone(pipeline, photo, data):
    calls = count_calls(pipeline.transformer)
    batch_sizes = []
    pipeline.transformer.blocks[0].register_forward_hook(
        lambda _, inputs, __: batch_sizes.append(len(inputs[0]))
    )
    pipeline(photo, poses(data, 2), num_inference_steps=4, guidance_scale=1.0)
    assert calls["blocks"] == 4 * pipeline.transformer.config.depth
    assert set(batch_sizes) == {2}


def test_callback_sees_every_step_and_can_change_the_latents(pipeline, photo, data):
    seen = []

    def callback(pipe, index, t, tensors):
        seen.append((index, int(t)))
        return {"latents": torch.zeros_like(tensors["latents"])}

    images = pipeline(
        photo, poses(data, 1), num_inference_steps=3, callback_on_step_end=callback,
        output_type="latent",
    ).images  # fmt: skip
    assert seen == [(0, 999), (1, 500), (2, 0)]
    assert images.abs().max() == 0


def test_save_and_load(pipeline, photo, data, tmp_path):
    def draw(pipe):
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        return pipe(
            photo, poses(data), num_inference_steps=2, generator=generator, output_type="np"
        ).images

    pipeline.save_pretrained(tmp_path)
    again = XMDPTPipeline.from_pretrained(tmp_path)
    assert type(again.scheduler) is type(pipeline.scheduler)
    assert np.array_equal(draw(again), draw(pipeline))


def test_a_fresh_process_loads_what_was_saved(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    code = f"from xmdpt import XMDPTPipeline; XMDPTPipeline.from_pretrained({str(tmp_path)!r})"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]


def test_what_diffusers_says_without_us_is_explained(pipeline, tmp_path):
    """A process that has not imported xmdpt asks diffusers, whose message names no cure."""
    pipeline.save_pretrained(tmp_path)
    code = f"import diffusers; diffusers.DiffusionPipeline.from_pretrained({str(tmp_path)!r})"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = "module diffusers has no attribute XMDPTPipeline"
    assert made.returncode and said in made.stderr
    assert f"| `{said}` | load the folder by" in (ROOT / "docs/troubleshoot.md").read_text()


def test_sources_and_poses_that_do_not_go_together(pipeline, photo, data):
    with pytest.raises(ValueError, match="2 sources for 3 poses"):
        pipeline([photo] * 2, poses(data, 3))


def test_stage_equals_pipeline_and_resumes(pipeline, data, tmp_path):
    pairs = data.pairs("test")[:3]
    settings = load_config("profiles/smoke.yaml").sample
    sample_pairs(pipeline, data, pairs, tmp_path, settings, seed=5, progress=iter)
    written = sorted(tmp_path.iterdir())
    assert [path.name for path in written] == sorted(result_name(*pair) for pair in pairs)
    source, target = pairs[1]
    with autocast(pipeline.device, settings.precision):
        expected = pipeline(
            [data.picture(source)], [data.skeleton(target)],
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale, guidance_power=settings.guidance_power,
            generator=[keyed_generator(5, "sample", source, target)],
        ).images[0]  # fmt: skip
    made = read_picture(tmp_path / result_name(source, target))
    assert abs(made - np.array(expected, int)).mean() < 2  # sums depend on the batch


def test_interrupted_sampling_resumes_to_the_same_bytes(pipeline, data, tmp_path):
    pairs = data.pairs("test")[:4]
    settings = load_config("profiles/smoke.yaml").sample.model_copy(update={"batch_size": 2})
    sample_pairs(pipeline, data, pairs, tmp_path, settings, seed=5, progress=iter)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    lost = tmp_path / result_name(*pairs[0])
    lost.unlink()
    sample_pairs(pipeline, data, pairs, tmp_path, settings, seed=5, progress=iter)
    assert lost.read_bytes() == before[lost][0]
    for pair in pairs[2:]:  # the finished batch was not drawn again
        path = tmp_path / result_name(*pair)
        assert path.stat().st_mtime_ns == before[path][1]


def test_the_key_of_pictures_names_the_code_they_come_from():
    package = Path(inspect.getsourcefile(XMDPTPipeline)).parent
    named = {path for pattern in CODE for path in package.glob(pattern)}
    used = (sample_latent, squash, keyed_generator, draw_skeleton, to_signed, make_encoder, guide)
    assert {Path(inspect.getsourcefile(one)) for one in used} <= named
    assert all([*package.glob(pattern)] for pattern in CODE)

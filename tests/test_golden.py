"""Our model, losses and sampler against numbers that the authors' published code gave."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xmdpt import XMDPTPipeline
from xmdpt.diffusion import add_noise, guidance_weight, guide, make_scheduler, training_losses
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.weights.convert import from_official

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = json.loads((GOLDEN / "official_small.json").read_text())


def assert_close(actual, expected, tolerance=1e-5):
    """Within `tolerance` of the largest magnitude."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.fixture(scope="module")
def golden():
    tensors = load_file(GOLDEN / "official_small.safetensors")
    groups = {"model": {}, "in": {}, "out": {}}
    for name, tensor in tensors.items():
        group, key = name.split(".", 1)
        groups[group][key] = tensor.float() if tensor.dtype == torch.float16 else tensor
    return groups


@pytest.fixture(scope="module")
def model(golden):
    return from_official(golden["model"])


@pytest.fixture(scope="module")
def condition(golden, model):
    inputs = golden["in"]
    with torch.no_grad():
        return model.encode_condition(
            inputs["pose_tokens"], inputs["source_tokens"], inputs["source_latent"]
        )


@pytest.fixture(scope="module")
def passes(golden, model, condition):
    x, t = golden["in"]["x"], golden["in"]["t"]
    with torch.no_grad():
        return model(x, t, condition).sample, model(x, t, torch.zeros_like(condition)).sample


def test_condition_vector(golden, condition):
    assert_close(condition, golden["out"]["condition_vector"])


def test_conditional_and_unconditional_pass(golden, passes):
    assert_close(passes[0], golden["out"]["cond"])
    assert_close(passes[1], golden["out"]["uncond"])


@torch.no_grad()
def test_masked_pass(golden, model, condition):
    inputs = golden["in"]
    c = model._condition(inputs["t"], condition)
    context = model.source_context(inputs["source_latent"], c)
    assert_close(context, golden["out"]["masked_context"])
    arguments = (
        inputs["x"],
        inputs["t"],
        condition,
        inputs["source_latent"],
        inputs["mask_noise"],
    )
    assert_close(model.masked_forward(*arguments).sample, golden["out"]["masked_cond"])
    assert_close(model(*arguments).sample, golden["out"]["masked_cond"])


@pytest.mark.parametrize("index", range(len(SETTINGS["cfg"])))
def test_guided_output(golden, passes, index):
    pair = SETTINGS["cfg"][index]
    weight = guidance_weight(golden["in"]["t"], pair["scale"], pair["power"])
    assert_close(guide(*passes, weight.view(-1, 1, 1, 1)), golden["out"][f"cfg{index}"])


def ten_steps(golden, model, condition, scale, power):
    """The sampler by hand, from the golden noise."""
    scheduler = make_scheduler()
    scheduler.set_timesteps(SETTINGS["ddim_steps"])
    assert scheduler.timesteps.flip(0).equal(golden["out"]["ddim_timesteps"])
    x = golden["in"]["z"]
    for t in scheduler.timesteps:
        both = (model(x, t, condition).sample, model(x, t, torch.zeros_like(condition)).sample)
        eps = guide(*both, guidance_weight(t, scale, power)).chunk(2, dim=1)[0]
        x = scheduler.step(eps, t, x).prev_sample
    return x


@torch.no_grad()
def test_ten_ddim_steps(golden, model, condition):
    made = ten_steps(golden, model, condition, **SETTINGS["cfg"][0])
    assert_close(made, golden["out"]["ddim"], 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("power", [SETTINGS["cfg"][0]["power"], 4.0])
def test_the_pipeline_takes_the_same_steps(golden, model, condition, tiny_vae, power):
    pipe, scale = XMDPTPipeline(tiny_vae, model, make_scheduler()), SETTINGS["cfg"][0]["scale"]
    pipe.set_progress_bar_config(disable=True)
    made = pipe.denoise(condition, golden["in"]["z"], SETTINGS["ddim_steps"], scale, power)
    assert_close(made, ten_steps(golden, model, condition, scale, power), 1e-4)


@torch.no_grad()
def test_latents_are_brought_back_to_the_autoencoders_scale(tiny_vae, model):
    pipe = XMDPTPipeline(tiny_vae, model, make_scheduler())
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert_close(pipe.decode(z * tiny_vae.config.scaling_factor), tiny_vae.decode(z).sample)


def test_forward_process(golden):
    inputs = golden["in"]
    x_t = add_noise(inputs["x0"], inputs["noise"], inputs["loss_t"])
    assert_close(x_t, golden["out"]["x_t"])


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "masked_"])
def test_losses(golden, model, condition, prefix):
    inputs = golden["in"]
    extra = (inputs["source_latent"], inputs["mask_noise"]) if prefix else ()
    losses = training_losses(
        lambda x, t: model(x, t, condition, *extra).sample,
        inputs["x0"],
        inputs["loss_t"],
        inputs["noise"],
    )
    for name in ("mse", "vb"):
        assert_close(losses[name], golden["out"][prefix + name])
    assert torch.equal(losses["loss"], losses["mse"] + losses["vb"])


def test_fresh_positions_are_the_authors(model):
    """To whose the golden weights have a little noise added."""
    fresh = XMDPTTransformer2DModel.from_config(dict(model.config))
    for name in ("pos_embed", "decoder_pos_embed"):
        assert (getattr(fresh, name) - getattr(model, name)).abs().max() < 0.3

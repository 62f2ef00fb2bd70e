"""Training of the autoencoder: what is frozen stays, stopping costs nothing, mistakes are named."""

import copy
import os
import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from helpers.networks import assert_same_tensors
from huggingface_hub import constants

from xmdpt.config import ConfigError, load_config
from xmdpt.metrics.perceptual import LPIPS, make_perceptual
from xmdpt.support.files import resumable_dir
from xmdpt.support.pictures import to_signed
from xmdpt.training.errors import TrainingError
from xmdpt.training.states import STATE, STATES
from xmdpt.training.vae import (
    Reconstruction,
    VAETrainer,
    load_vae,
    reconstruct,
    train_vae,
    vae_key,
)

SETTINGS = load_config("profiles/smoke.yaml").vae.model_copy(
    update={"init": "somewhere", "steps": 4, "crop": 32, "learning_rate": 1e-2, "save_every": 2,
            "batch_size": 4, "perceptual_weight": 0.0}
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(data):
    return np.stack([data.picture(name) for name in data.pictures("train")])


def train(vae, pictures, work, **changes):
    work.mkdir(exist_ok=True)
    settings = SETTINGS.model_copy(update=changes)
    return train_vae(vae, lambda row: pictures[row], len(pictures), settings, 0, work)


def state(vae):
    return {name: value.clone() for name, value in vae.state_dict().items()}


@pytest.mark.parametrize("whole", [False, True])
def test_fine_tuning_leaves_the_encoder_alone_unless_asked(pictures, tiny_vae, tmp_path, whole):
    vae = copy.deepcopy(tiny_vae)
    before = state(vae)
    steps = [*train(vae, pictures, tmp_path, train_encoder=whole, perceptual_weight=0.1)]
    assert [progress.step for progress in steps] == [1, 2, 3, 4]
    assert set(steps[0].losses) == {"mse", "kl", "st_lpips", "loss"}
    after = vae.state_dict()
    same = {
        part: all(torch.equal(after[n], before[n]) for n in before if n.startswith(part))
        for part in ("encoder.", "quant_conv.", "decoder.", "post_quant_conv.")
    }
    assert same == {
        "encoder.": not whole,
        "quant_conv.": not whole,
        "decoder.": False,
        "post_quant_conv.": False,
    }
    untrained = copy.deepcopy(tiny_vae).requires_grad_(False)  # else other kernels are chosen
    was, now = (net.encode(to_signed(pictures)).latent_dist.parameters for net in (untrained, vae))
    assert torch.equal(was, now) is not whole  # latents made before stay valid


def test_what_is_saved_is_the_average_and_loads(pictures, tiny_vae, tmp_path):
    vae = copy.deepcopy(tiny_vae)
    [*train(vae, pictures, tmp_path, ema_decay=0.5)]
    loaded = AutoencoderKL.from_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "state-before.pt",
        STATE,
    ]
    assert_same_tensors(loaded.state_dict(), vae.state_dict())
    slow = copy.deepcopy(tiny_vae)
    [*train(slow, pictures, tmp_path / "slow", ema_decay=1 - 1e-9)]
    for name, value in slow.state_dict().items():
        torch.testing.assert_close(value, tiny_vae.state_dict()[name])


def test_blocks_computed_twice_give_the_same_weights(pictures, tiny_vae, tmp_path):
    plain, twice = copy.deepcopy(tiny_vae), copy.deepcopy(tiny_vae)
    settings = {"precision": "fp32", "train_encoder": True}
    [*train(plain, pictures, tmp_path / "plain", **settings)]
    [*train(twice, pictures, tmp_path / "twice", **settings, gradient_checkpointing=True)]
    for name, value in state(twice).items():
        torch.testing.assert_close(value, state(plain)[name], msg=name)


@pytest.mark.parametrize("whole", [False, True])
def test_resuming_equals_training_on(pictures, tiny_vae, tmp_path, whole):
    def finish(folder, stop=None):
        seen = []
        vae = copy.deepcopy(tiny_vae)
        with resumable_dir(folder, "key") as work:
            for progress in train(vae, pictures, work, train_encoder=whole, steps=5):
                seen.append((progress.step, progress.losses["loss"]))
                if progress.step == stop:
                    raise KeyboardInterrupt
        return seen

    at_once = finish(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path / "stopped", stop=3)
    assert not (tmp_path / "stopped").exists()
    assert finish(tmp_path / "stopped") == at_once  # the first two as found in the state
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes()


def test_the_learning_rate_falls_to_nothing_at_the_end(pictures, tiny_vae):
    settings = SETTINGS.model_copy(update={"learning_rate": 0.1, "decay_steps": 2})
    trainer = VAETrainer(
        copy.deepcopy(tiny_vae), lambda row: pictures[row], len(pictures), settings, 0
    )
    rates = [trainer.optimizer.param_groups[0]["lr"] for _ in trainer.run(settings.steps)]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05])


def test_latents_of_a_wholly_trained_one_have_unit_variance(pictures, tiny_vae, tmp_path):
    vae = copy.deepcopy(tiny_vae)
    [*train(vae, pictures, tmp_path, train_encoder=True)]
    with torch.no_grad():
        latents = vae.encode(to_signed(pictures)).latent_dist.mean * vae.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, abs=1e-4)
    frozen = copy.deepcopy(tiny_vae)
    [*train(frozen, pictures, tmp_path / "frozen")]
    assert frozen.config.scaling_factor == tiny_vae.config.scaling_factor


def test_training_lowers_the_error(pictures, tiny_vae, tmp_path):
    vae = copy.deepcopy(tiny_vae)
    steps = [*train(vae, pictures, tmp_path, steps=40, crop=64, save_every=100)]
    errors = [progress.losses["mse"] for progress in steps]
    assert np.mean(errors[-5:]) < 0.7 * np.mean(errors[:5])
    assert reconstruct(vae, pictures, batch_size=4).shape == pictures.shape


def test_a_loss_that_is_not_a_number_stops_before_it_is_saved(pictures, tiny_vae, tmp_path):
    vae = copy.deepcopy(tiny_vae)
    steps = train(vae, pictures, tmp_path)
    next(steps), next(steps)
    with torch.no_grad():
        vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="step 2: the loss of the autoencoder is nan"):
        next(steps)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert saved["step"] == 2
    assert all(value.isfinite().all() for value in saved["vae"].values())


def test_a_finished_autoencoder_that_is_deleted_comes_back(pictures, tiny_vae, tmp_path):
    def finish():
        with resumable_dir(tmp_path / "vae", "key", keep=True, scratch=STATES) as work:
            steps = train(copy.deepcopy(tiny_vae), pictures, work, train_encoder=True)
            seen = [progress for progress in steps if not progress.found]
        weights = tmp_path / "vae/diffusion_pytorch_model.safetensors"
        return len(seen), sorted(os.listdir(tmp_path / "vae")), weights.read_bytes()

    steps, names, weights = finish()
    assert steps == 4 and STATE not in names
    shutil.rmtree(tmp_path / "vae")
    assert finish() == (0, names, weights)


def test_a_gradient_that_is_not_finite_reaches_no_weight(pictures, tiny_vae, tmp_path):
    vae = copy.deepcopy(tiny_vae)
    steps = train(vae, pictures, tmp_path)
    next(steps)
    before = [parameter.detach().clone() for parameter in vae.parameters()]
    vae.decoder.conv_out.bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match=r"step 1: .* the gradient norm (inf|nan)"):
        next(steps)
    assert all(map(torch.equal, vae.parameters(), before))


def test_losses_are_as_named(pictures, tiny_vae):
    x = to_signed(pictures[:2])
    noise = torch.randn(2, 4, 8, 8)
    for name, distance in (("mse", (lambda d: d**2)), ("l1", torch.abs)):
        settings = SETTINGS.model_copy(update={"reconstruction": name, "kl_weight": 0.5})
        vae = copy.deepcopy(tiny_vae)
        with torch.no_grad():
            losses = Reconstruction(vae, settings)(x, noise)
            posterior = vae.encode(x).latent_dist
            made = vae.decode(posterior.mean + posterior.std * noise).sample
        torch.testing.assert_close(losses[name], distance(made - x).mean())
        mean, log_var = posterior.parameters.chunk(2, dim=1)
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).mean()
        torch.testing.assert_close(losses["loss"], losses[name] + 0.5 * kl)


# LPIPS as the perceptual loss


def test_lpips_takes_alexnet_from_the_hubs_folder(hub):
    distance = make_perceptual("lpips")
    assert isinstance(distance, LPIPS)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (distance(x, x) == 0).all() and (distance(x, -x) > 0).all()


def test_missing_alexnet_is_named(no_hub):
    with pytest.raises(ConfigError, match=r"hub/checkpoints/alexnet-owt-7be5be79\.pth.*st_lpips"):
        make_perceptual("lpips")


# Weights to start from


def test_the_start_is_taken_from_a_folder_or_the_hubs_cache(tiny_vae, tmp_path, monkeypatch):
    name, commit = "stabilityai/sd-vae-ft-mse", "0123abcd" * 5
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    settings = SETTINGS.model_copy(update={"init": name})
    with pytest.raises(ConfigError) as caught:
        load_vae(settings, 256, 0)
    for part in ("vae.init: stabilityai/sd-vae-ft-mse", str(tmp_path), "hf download"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)

    repository = tmp_path / "models--stabilityai--sd-vae-ft-mse"
    tiny_vae.save_pretrained(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    for place in (name, str(repository / "snapshots" / commit)):
        loaded = load_vae(SETTINGS.model_copy(update={"init": place}), 256, 0)
        assert_same_tensors(loaded.state_dict(), tiny_vae.state_dict())


def test_the_key_names_all_that_weights_depend_on(data, tiny_vae):
    names = data.pictures("train")
    other = copy.deepcopy(tiny_vae)
    other.decoder.conv_out.bias.data += 1
    changed = SETTINGS.model_copy(update={"crop": 64})
    rarely = SETTINGS.model_copy(update={"save_every": 9})
    base = vae_key(SETTINGS, tiny_vae, data, names, 0)
    assert base == vae_key(rarely, tiny_vae, data, names, 0)
    others = {
        base,
        vae_key(changed, tiny_vae, data, names, 0),
        vae_key(SETTINGS, other, data, names, 0),
        vae_key(SETTINGS, tiny_vae, data, names[1:], 0),
        vae_key(SETTINGS, tiny_vae, data, names, 1),
    }
    assert len(others) == 5

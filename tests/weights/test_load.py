"""Loading a pipeline folder: what is broken or missing is named."""

import numpy as np
import pytest
import torch
from helpers.networks import make_pipeline
from helpers.people import SIZE
from safetensors.torch import load_file, save_file

from xmdpt.photos.loading import PhotoError
from xmdpt.presets import scheduler_for
from xmdpt.weights import load


@pytest.fixture(scope="module")
def folder(tiny_vae, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    make_pipeline(tiny_vae).save_pretrained(path)
    return path


def test_weights_that_are_broken(folder, tmp_path, capfd):
    file = "transformer/diffusion_pytorch_model.safetensors"
    for name in (
        "model_index.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/config.json",
        file,
    ):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder / name).read_bytes())
    load.load_pipeline(tmp_path, "cpu")
    whole = (folder / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])  # half-downloaded
    with pytest.raises(PhotoError, match="cannot be loaded") as error:
        load.load_pipeline(tmp_path, "cpu")
    assert len(str(error.value).splitlines()) == 1
    (tmp_path / file).write_bytes(whole)
    state = load_file(tmp_path / file)
    save_file({k: v for k, v in state.items() if k != "pos_embed"}, tmp_path / file)
    capfd.readouterr()
    with pytest.raises(PhotoError, match="the weights of transformer lack pos_embed"):
        load.load_pipeline(tmp_path, "cpu")
    (tmp_path / file).unlink()
    torch.save(state, tmp_path / file.replace("safetensors", "bin"))  # whole, but a pickle
    with pytest.raises(PhotoError, match="cannot be loaded"):
        load.load_pipeline(tmp_path, "cpu")
    assert capfd.readouterr().err == "", "what is wrong is in the error alone"


def test_a_variant_alone_is_named(tiny_vae, tmp_path):
    make_pipeline(tiny_vae).save_pretrained(tmp_path, variant="fp16")
    with pytest.raises(PhotoError, match="vae: holds the variant fp16 alone"):
        load.load_pipeline(tmp_path, "cpu")


def test_a_pipeline_that_was_trained_by_flow_matching_keeps_its_sampler(tiny_vae, tmp_path):
    made = make_pipeline(tiny_vae)
    made.scheduler = scheduler_for("flow")
    made.save_pretrained(tmp_path)
    loaded = load.load_pipeline(tmp_path, "cpu")
    loaded.set_progress_bar_config(disable=True)
    pose = np.random.default_rng(0).uniform(5, SIZE - 5, (18, 2))
    photo = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    first, second, noise_sampler = (
        pipe(photo, pose, 3, generator=torch.Generator().manual_seed(0), output_type="np").images
        for pipe in (made, loaded, make_pipeline(tiny_vae))
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - noise_sampler).max() > 1e-3


def test_the_weights_that_ship_are_found_or_missed(folder, tmp_path, monkeypatch):
    assert load.load_pipeline(device="cpu").size == 128
    monkeypatch.setattr(load, "BUNDLED", tmp_path / "absent")
    with pytest.raises(PhotoError, match=r"small weights are not there"):
        load.load_pipeline()
    (tmp_path / "absent").symlink_to(folder)
    assert load.load_pipeline(device="cpu").size == SIZE


def test_a_full_device_is_not_taken_for_damage(folder, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    monkeypatch.setattr(load.XMDPTPipeline, "to", full)
    with pytest.raises(PhotoError, match=r"cannot be put on cuda \(CUDA out of memory\)"):
        load.load_pipeline(folder, "cuda")

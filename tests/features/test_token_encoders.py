"""DINOv2 and timm as token encoders: tiny networks of the real classes, in the hub's own layout."""

import numpy as np
import pytest
import timm
import torch
from helpers.networks import tiny_dinov2
from huggingface_hub import constants
from timm.models import save_for_hf
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize
from transformers import ViTConfig

from xmdpt.config import ConfigError
from xmdpt.features.encoders import fit_positions, make_encoder, network_input
from xmdpt.support.pictures import to_signed

GIANT = "facebook/dinov2-giant"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dinov2")
    tiny_dinov2().save_pretrained(path)
    return path


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty hub cache and no network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def pictures(count=2, size=64):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def resized(x):
    """As torchvision 0.13 resized a tensor."""
    return resize(x, [224, 224], InterpolationMode.BICUBIC, antialias=False)


# What the networks see


def test_a_photo_is_fed_in_minus_one_to_one():
    x = to_signed(pictures())
    torch.testing.assert_close(network_input(x, "photo", False), resized(x))


def test_a_skeleton_is_divided_by_its_maximum():
    drawn = pictures() // 2
    unit = torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255
    expected = torch.stack([picture / picture.max() for picture in unit])
    found = network_input(to_signed(drawn), "skeleton", False)
    torch.testing.assert_close(found, resized(expected), rtol=1e-4, atol=1e-5)


def test_a_skeleton_without_joints_is_black_and_finite():
    black = to_signed(np.zeros((1, 64, 64, 3), np.uint8))
    assert (network_input(black, "skeleton", False) == 0).all()


def test_imagenet_normalization_is_a_switch():
    x = pictures()
    unit = torch.from_numpy(x).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    found = network_input(to_signed(x), "photo", True)
    torch.testing.assert_close(found, resized((unit - mean) / std), rtol=1e-4, atol=1e-4)


# DINOv2


def cubic(x):
    """PyTorch's bicubic kernel, a = -3/4, at distances x."""
    x, a = x.abs(), -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    return torch.where(x <= 1, near, a * (x**3 - 5 * x**2 + 8 * x - 4)) * (x < 2)


def test_positions_are_resampled_as_dinov2s_release_does():
    """Cell i reads the table around (i + 1/2) 37 / 16.1 - 1/2, not 37 / 16."""
    rows, columns = torch.meshgrid(torch.arange(37.0), torch.arange(37.0), indexing="ij")
    plane = torch.stack([columns, rows], dim=-1).reshape(1, 37 * 37, 2)
    table = torch.cat([torch.full((1, 1, 2), -7.0), plane], dim=1)
    fitted = fit_positions(table, 16)
    assert fitted.shape == (1, 257, 2) and (fitted[:, 0] == -7).all()
    grid = fitted[0, 1:].reshape(16, 16, 2)
    places = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    expected = cubic(places[:, None] - torch.arange(37)) @ torch.arange(37.0)
    torch.testing.assert_close(grid[5, 1:15, 0], expected[1:15], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grid[1:15, 5, 1], expected[1:15], rtol=1e-4, atol=1e-4)
    small = torch.randn(1, 257, 4)
    assert fit_positions(small, 16) is small


def test_tokens_are_the_networks_last_normed_states(tmp_path):
    model = tiny_dinov2(image_size=224)
    model.save_pretrained(tmp_path)
    encoder = make_encoder(str(tmp_path))
    x = to_signed(pictures())
    tokens = encoder(x)
    with torch.no_grad():
        expected = model(resized(x)).last_hidden_state
    torch.testing.assert_close(tokens, expected)
    assert tokens.shape == (2, encoder.num_tokens(64), encoder.width) == (2, 257, 32)


def test_positions_are_fitted_on_loading(folder):
    encoder = make_encoder(str(folder))
    table = tiny_dinov2().embeddings.position_embeddings
    found = encoder.network.embeddings.position_embeddings
    assert torch.equal(found, fit_positions(table.detach(), 16))
    assert encoder(to_signed(pictures(size=512))).shape == (2, 257, 32)


def test_encoders_are_frozen_and_in_float32(folder):
    encoder = make_encoder(str(folder), "skeleton", False, "bf16")
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    tokens = encoder(to_signed(pictures(1)))
    exact = make_encoder(str(folder), "skeleton")(to_signed(pictures(1)))
    assert tokens.dtype == exact.dtype == torch.float32
    assert 0 < (tokens - exact).norm() < 0.1 * exact.norm()


def test_a_name_is_found_in_the_hubs_cache(folder, offline):
    repository = offline / "models--facebook--dinov2-giant"
    commit = "0123abcd" * 5
    snapshot = repository / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    x = to_signed(pictures(1))
    assert torch.equal(make_encoder(GIANT)(x), make_encoder(str(folder))(x))


# timm


@pytest.mark.parametrize(
    ("architecture", "count"), [("test_vit", 1 + 14**2), ("test_resnet", 1 + 7**2)]
)
def test_timm_models(tmp_path, architecture, count):
    torch.manual_seed(0)
    model = timm.create_model(architecture)
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    encoder = make_encoder(str(tmp_path))
    x = to_signed(pictures())
    tokens = encoder(x)
    assert (
        tokens.shape == (2, encoder.num_tokens(64), encoder.width) == (2, count, model.num_features)
    )
    if architecture == "test_resnet":
        with torch.no_grad():
            features = model.eval().forward_features(resized(x))
        torch.testing.assert_close(tokens[:, 1 + 7 + 2], features[:, :, 1, 2])
        torch.testing.assert_close(tokens[:, 0], features.mean(dim=(2, 3)))


# Missing weights


def fails(name, *parts, kind="photo"):
    with pytest.raises(ConfigError) as caught:
        make_encoder(name, kind)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def test_weights_that_are_nowhere_are_named(offline):
    fails(GIANT, "features.source_encoder", GIANT, str(offline), f"hf download {GIANT}")
    fails(GIANT, "features.pose_encoder", kind="skeleton")
    fails("timm/resnet18.a1_in1k", "features.source_encoder", "hf download")


def test_names_that_mean_nothing(tmp_path):
    fails("dinov2", "no token encoder 'dinov2'", "facebook/dinov2-small")
    fails("timm/no_such_model", "timm has no model 'no_such_model'")
    fails(str(tmp_path / "absent"), "no folder")
    fails(str(tmp_path), "holds no config.json")


def test_a_folder_without_weights_or_with_half_of_them(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    fails(str(tmp_path), "holds no readable weights")
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    fails(str(tmp_path), "holds no readable weights", "copy it again")
    config = (folder / "config.json").read_text()
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "config.json").write_text(config.replace('"hidden_size": ', '"hidden_size": 2'))
    fails(str(tmp_path), "features.source_encoder", "copy it again")  # they do not fit it
    (tmp_path / "config.json").write_text(config[: len(config) // 2])
    fails(str(tmp_path), "config.json is not JSON", "copy it")


def test_another_network_is_refused(tmp_path):
    ViTConfig(hidden_size=32).save_pretrained(tmp_path)
    fails(str(tmp_path), "is a vit, not a DINOv2")


def test_a_transformer_without_a_class_token_is_given_the_mean(tmp_path):
    given = {"class_token": False, "global_pool": "avg"}
    model = timm.create_model("test_vit", **given)
    save_for_hf(model, str(tmp_path), model_args=given, safe_serialization=True)
    tokens = make_encoder(str(tmp_path))(to_signed(pictures()))
    assert tokens.shape[1] == 1 + 14**2
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(dim=1))

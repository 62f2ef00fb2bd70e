"""Real networks at tiny size."""

import copy

import lpips
import pytest
import torch
from diffusers import AutoencoderKL
from transformers import Dinov2Config, Dinov2Model

from xmdpt import XMDPTPipeline
from xmdpt.diffusion import make_scheduler
from xmdpt.metrics.perceptual import TRUNKS
from xmdpt.model import XMDPTTransformer2DModel


def make_vae(size: int, scaling_factor: float) -> AutoencoderKL:
    """An autoencoder of Stable Diffusion's shape, 8 pixels a cell, at tiny width."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=size,
        scaling_factor=scaling_factor,
    ).eval()


def make_model(randomize=True, **changes):
    """A model for 8x8 latents; randomised, since adaLN-Zero starts blocks as identities."""
    settings = {
        "sample_size": 8,
        "hidden_size": 32,
        "depth": 3,
        "num_heads": 2,
        "decode_layers": 1,
        "pose_tokens": 17,
        "pose_width": 516,
        "source_tokens": 17,
        "source_width": 516,
    }
    torch.manual_seed(0)
    model = XMDPTTransformer2DModel(**settings | changes)
    if randomize:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def make_pipeline(vae, *settings) -> XMDPTPipeline:
    """A quiet pipeline of a tiny model without MIPNet and a copy of `vae`."""
    model = make_model(mip_attention="none")
    pipeline = XMDPTPipeline(copy.deepcopy(vae), model, make_scheduler(), *settings)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def assert_same_tensors(actual, expected) -> None:
    """Two state dicts hold the same names and numbers."""
    assert actual.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(actual[name], expected[name])] == []


def untrained_inception() -> torch.nn.Module:
    """torch-fidelity's Inception in random weights; its own builder would load some."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    class Untrained(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments, **settings):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
        return Untrained("inception-v3-compat", ["2048"])


def tiny_dinov2(image_size=518):
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=image_size,
        patch_size=14,
        use_swiglu_ffn=True,  # as the giant
    )
    model = Dinov2Model(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def package_lpips(net: str, hub) -> torch.nn.Module:
    """The package's own network on the hub's trunk."""
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = torch.load(hub / TRUNKS[net].url.rpartition("/")[2], weights_only=True)
    names = [key for key in theirs.net.state_dict()]
    stripped = [key.split(".", 1)[1] for key in names]
    found = {old: state[f"features.{key}"] for old, key in zip(names, stripped, strict=True)}
    theirs.net.load_state_dict(found)
    return theirs

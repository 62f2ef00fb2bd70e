"""The authors' weights as ours and back: settings, bits, damage, what verification sees."""

import json
import pickle

import pytest
import torch
from diffusers import AutoencoderKL
from helpers.networks import assert_same_tensors
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from xmdpt import XMDPTTransformer2DModel
from xmdpt.cli import app
from xmdpt.support.arguments import BadInput
from xmdpt.weights.convert import (
    GOLDEN,
    CheckpointError,
    convert_official,
    from_official,
    read_checkpoint,
    to_official,
    verify_golden,
)
from xmdpt.weights.load import load_pipeline


@pytest.fixture
def official() -> dict[str, torch.Tensor]:
    """The state dict of a small random model of the authors' code."""
    tensors = load_file(GOLDEN)
    return {
        name.removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }


def test_settings_are_read_off_the_tensors(official):
    config = from_official(official).config
    theirs = json.loads(GOLDEN.with_suffix(".json").read_text())
    same = ("patch_size", "in_channels", "hidden_size", "depth", "num_heads", "mask_ratio")
    assert {name: config[name] for name in same} == {name: theirs[name] for name in same}
    assert config["sample_size"] == theirs["input_size"]
    assert config["decode_layers"] == theirs["decode_layer"]
    assert config["mip_attention"] == "self_cross"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s.pop("blocks.1.mlp.fc1.weight"), "missing: blocks.1.mlp.fc1.weight"),
        (lambda s: s.pop("blocks.1.attn.qkv.weight"), r"missing: blocks.1.attn.qkv.weight$"),
        (
            lambda s: s.pop("sideblocks_cross.0.attn.to_q.weight"),
            r"missing: sideblocks_cross.0.attn.to_q.weight$",
        ),
        (lambda s: s.update(surplus=torch.zeros(1)), "unknown: surplus"),
        (lambda s: s.update({"final_layer.linear.bias": torch.zeros(1)}), "of another shape"),
        (lambda s: s.pop("pos_embed"), "pos_embed"),
    ],
)
def test_unexpected_tensors_are_refused(official, change, complaint):
    change(official)
    with pytest.raises(ValueError, match=complaint):
        from_official(official)


def test_the_authors_tensors_come_back_bit_for_bit(official):
    assert_same_tensors(to_official(from_official(official)), official)


def test_golden_numbers_hold():
    verify_golden()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {f"module.{name}": tensor for name, tensor in s.items()},
        lambda s: {f"_orig_mod.module.{name}": tensor for name, tensor in s.items()},
        lambda s: {"state_dict": {"ema": s, "model": {}}, "step": 3},
        lambda s: {"model": {}, "ema": s, "opt": {"lr": 1e-4}},
        lambda s: {"state_dict": {}, "ema": s},
        lambda s: {"state_dict": {}, "state_dict_ema": s},
        lambda s: {"model": {f"module.{name}": tensor for name, tensor in s.items()}},
    ],
)
def test_weights_are_found_in_a_training_scripts_file(official, tmp_path, wrap):
    torch.save(wrap(official), tmp_path / "wrapped.pt")
    assert_same_tensors(read_checkpoint(tmp_path / "wrapped.pt"), official)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_the_same_numbers_in_float32(official, tmp_path, dtype):
    half = {name: t.to(dtype) if t.is_floating_point() else t for name, t in official.items()}
    torch.save(half, tmp_path / "half.pt")
    read = read_checkpoint(tmp_path / "half.pt")
    same = {name: t.float() if t.is_floating_point() else t for name, t in half.items()}
    assert_same_tensors(read, same)


@pytest.mark.parametrize("shift", [0.01, float("nan")])
def test_other_numbers_are_refused(shift, tmp_path):
    golden = load_file(GOLDEN)
    golden["out.cond"][0, 0, 0, 0] += shift
    save_file(golden, tmp_path / "golden.safetensors")
    with pytest.raises(CheckpointError, match="cond differs from the authors'"):
        verify_golden(tmp_path / "golden.safetensors")


def test_convert_there_and_back(official, tmp_path):
    torch.save(official, tmp_path / "ema.pt")
    runner = CliRunner()
    there = ["convert", "official", str(tmp_path / "ema.pt"), str(tmp_path / "out"), "--verify"]
    assert runner.invoke(app, there, catch_exceptions=False).exit_code == 0
    assert XMDPTTransformer2DModel.from_pretrained(tmp_path / "out").config.hidden_size == 48
    back = ["convert", "official", str(tmp_path / "out"), str(tmp_path / "back.pt")]
    back += ["--to", "official"]
    assert runner.invoke(app, back, catch_exceptions=False).exit_code == 0
    assert_same_tensors(read_checkpoint(tmp_path / "back.pt"), official)
    with pytest.raises(BadInput, match="already exists"):
        runner.invoke(app, there, catch_exceptions=False)


def test_every_damaged_tensor_is_refused(official):
    for name, tensor in official.items():
        for damaged in (torch.zeros(()), tensor[:0], tensor[None], torch.cat([tensor, tensor])):
            with pytest.raises(ValueError):
                from_official(official | {name: damaged})


def test_weights_and_the_vae_of_other_weights_do_not_go_together(official, tiny_vae, tmp_path):
    torch.save(official, tmp_path / "ema.pt")
    other = AutoencoderKL.from_config(dict(tiny_vae.config) | {"latent_channels": 8})
    other.save_pretrained(tmp_path / "other")
    tiny_vae.save_pretrained(tmp_path / "vae")
    with pytest.raises(CheckpointError, match="latents of 8 channels, but the model takes 4"):
        convert_official(tmp_path / "ema.pt", tmp_path / "out", tmp_path / "other")
    with pytest.raises(CheckpointError, match="not a VAE folder"):
        convert_official(tmp_path / "ema.pt", tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()
    convert_official(tmp_path / "ema.pt", tmp_path / "out", tmp_path / "vae", verify=True)
    pipe = load_pipeline(tmp_path / "out", "cpu")
    assert_same_tensors(to_official(pipe.transformer), official)


class Code:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b""), "whole checkpoint|damaged"),
        (lambda p: p.write_text("<!DOCTYPE html><html>"), "web page"),
        (lambda p: p.write_bytes(pickle.dumps(Code())), "perhaps code"),
        (lambda p: torch.save({"a": Code()}, p), "perhaps code"),
        (lambda p: torch.save({"net": {"a": torch.ones(1)}}, p), "plain state dict"),
        (lambda p: torch.save({"a": torch.tensor([float("nan")])}, p), "NaN"),
        (lambda p: torch.save({"a": torch.ones(1).double()}, p), "float64"),
        (lambda p: torch.save({"a": torch.ones(1, dtype=torch.complex64)}, p), "complex64"),
        (lambda p: torch.save({1: torch.ones(1)}, p), "plain state dict"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(write, complaint, tmp_path, capsys):
    path = tmp_path / "ema.pt"
    write(path)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert "ran" not in capsys.readouterr().out


def test_half_a_download_is_refused(tmp_path):
    torch.save({"a": torch.ones(9999)}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="download it again"):
        read_checkpoint(tmp_path / "half.pt")


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "width", "heads"), [(12, 384, 6), (12, 768, 12), (24, 1024, 16)])
def test_full_size_comes_back_bit_for_bit(depth, width, heads):
    model = XMDPTTransformer2DModel(hidden_size=width, depth=depth, num_heads=heads)
    for parameter in model.parameters():
        parameter.data.normal_()
    state = to_official(model)
    again = from_official(state)
    assert dict(again.config)["depth"] == depth and again.config.num_heads == heads
    del model
    assert_same_tensors(to_official(again), state)

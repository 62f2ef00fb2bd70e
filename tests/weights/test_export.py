"""Folders that diffusers loads without xmdpt, and the authors' weights there and back."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderKL
from helpers.networks import make_model
from helpers.people import SIZE, body
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from xmdpt import XMDPTPipeline, XMDPTTransformer2DModel
from xmdpt.cli import BadInput, app
from xmdpt.config import ConfigError
from xmdpt.diffusion import make_scheduler
from xmdpt.weights.convert import (
    GOLDEN,
    CheckpointError,
    convert_official,
    from_official,
    read_checkpoint,
    to_official,
    verify_golden,
)
from xmdpt.weights.export import export_pipeline, new_folder
from xmdpt.weights.load import load_pipeline

BARE = """
import sys
sys.path[:] = [p for p in sys.path if p != {root!r}]
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xmdpt":
            raise ModuleNotFoundError("xmdpt is not installed", name="xmdpt")
sys.meta_path.insert(0, Absent())
import numpy as np, torch
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained({folder!r}, trust_remote_code=True)
pipe.set_progress_bar_config(disable=True)
inputs = np.load({inputs!r})
made = pipe(inputs["photo"], inputs["pose"], num_inference_steps=2,
            generator=torch.Generator().manual_seed(0), output_type="latent").images
assert "xmdpt" not in sys.modules
np.save({out!r}, made.numpy())
"""


def test_export_loads_where_xmdpt_is_not_installed(tiny_vae, tmp_path):
    pipe = XMDPTPipeline(tiny_vae, make_model(mip_attention="none"), make_scheduler())
    pipe.set_progress_bar_config(disable=True)
    export_pipeline(pipe, tmp_path / "out", origin="Random numbers.")
    photo = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    pose = body(0.18, (4, 4))
    np.savez(tmp_path / "inputs.npz", photo=photo, pose=pose)
    expected = pipe(
        photo, pose, num_inference_steps=2, generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images  # fmt: skip
    code = BARE.format(
        root=str(GOLDEN.parents[2]), folder=str(tmp_path / "out"),
        inputs=str(tmp_path / "inputs.npz"), out=str(tmp_path / "made.npy"),
    )  # fmt: skip
    threads = str(torch.get_num_threads())  # sums round differently with another number of them
    environment = {
        "HF_HOME": str(tmp_path / "home"),
        "PATH": "/usr/bin",
        "OMP_NUM_THREADS": threads,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "made.npy")), expected)
    ours = load_pipeline(tmp_path / "out", "cpu")
    assert_same(ours.transformer.state_dict(), pipe.transformer.state_dict())
    assert type(ours.scheduler) is type(pipe.scheduler)
    assert "Random numbers." in (tmp_path / "out/README.md").read_text()
    with pytest.raises(ValueError, match="is there already"):
        export_pipeline(pipe, tmp_path / "out")
    with pytest.raises(ValueError, match="one word"):
        export_pipeline(pipe, tmp_path / "other", license="mine: all\n")


def test_a_trained_run_is_exported_with_its_encoders(tiny_vae, tmp_path, monkeypatch):
    settings = Path("profiles/smoke.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    model = make_model()
    settings = yaml.safe_load(settings)
    settings["features"]["source_encoder"] = "dinov2"
    settings["model"] = {name: model.config[name] for name in settings["model"]}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    for folder in ("base_b/main", "no_mask/ablation"):
        model.save_pretrained(f"models/{folder}")
    tiny_vae.save_pretrained("models/vae")
    result = CliRunner().invoke(app, ["export", "out/mine", "--run", "base_b"])
    assert result.exit_code == 0, result.output
    pipe = load_pipeline("out/mine", "cpu")
    assert_same(pipe.transformer.state_dict(), model.state_dict())
    assert (pipe.config.source_encoder, pipe.config.pose_encoder) == (
        "dinov2",
        "efficientnet_lite0",
    )
    for arguments, message in (
        (["--run", "base_b", "--checkpoint", "ablation"], "dvc repro train@base_b"),
        (["--run", "nobody"], "nobody"),
        (["--run", "no_mask", "--checkpoint", "ablation"], "trained with another mip_attention"),
        (["--run", "base_b", "--weights", "out/mine"], "do not go together"),
    ):
        error = CliRunner().invoke(app, ["export", "out/other", *arguments]).exception
        assert isinstance(error, BadInput | ConfigError)
        assert message in str(error)


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as partial:
        (partial / "half").write_text("")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def official_golden():
    tensors = load_file(GOLDEN)
    return {
        name.removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(actual[name], expected[name])] == []


def test_the_authors_tensors_come_back_bit_for_bit():
    state = official_golden()
    assert_same(to_official(from_official(state)), state)


def test_golden_numbers_hold():
    verify_golden()


@pytest.mark.parametrize("shift", [0.01, float("nan")])
def test_other_numbers_are_refused(shift, tmp_path):
    golden = load_file(GOLDEN)
    golden["out.cond"][0, 0, 0, 0] += shift
    save_file(golden, tmp_path / "golden.safetensors")
    with pytest.raises(CheckpointError, match="cond differs from the authors'"):
        verify_golden(tmp_path / "golden.safetensors")


def test_convert_there_and_back(tmp_path):
    state = official_golden()
    torch.save(state, tmp_path / "ema.pt")
    runner = CliRunner()
    there = ["convert", "official", str(tmp_path / "ema.pt"), str(tmp_path / "out"), "--verify"]
    assert runner.invoke(app, there, catch_exceptions=False).exit_code == 0
    assert XMDPTTransformer2DModel.from_pretrained(tmp_path / "out").config.hidden_size == 48
    back = ["convert", "official", str(tmp_path / "out"), str(tmp_path / "back.pt")]
    back += ["--to", "official"]
    assert runner.invoke(app, back, catch_exceptions=False).exit_code == 0
    assert_same(read_checkpoint(tmp_path / "back.pt"), state)
    with pytest.raises(BadInput, match="is there already"):
        runner.invoke(app, there, catch_exceptions=False)


def test_every_damaged_tensor_is_refused():
    state = official_golden()
    for name, tensor in state.items():
        for damaged in (torch.zeros(()), tensor[:0], tensor[None], torch.cat([tensor, tensor])):
            with pytest.raises(ValueError):
                from_official(state | {name: damaged})


def test_weights_and_a_vae_of_others_do_not_go_together(tiny_vae, tmp_path):
    torch.save(official_golden(), tmp_path / "ema.pt")
    other = AutoencoderKL.from_config(dict(tiny_vae.config) | {"latent_channels": 8})
    other.save_pretrained(tmp_path / "other")
    tiny_vae.save_pretrained(tmp_path / "vae")
    with pytest.raises(CheckpointError, match="latents of 8 channels, and the model takes 4"):
        convert_official(tmp_path / "ema.pt", tmp_path / "out", tmp_path / "other")
    with pytest.raises(CheckpointError, match="no folder of a VAE"):
        convert_official(tmp_path / "ema.pt", tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()
    convert_official(tmp_path / "ema.pt", tmp_path / "out", tmp_path / "vae", verify=True)
    pipe = load_pipeline(tmp_path / "out", "cpu")
    assert_same(to_official(pipe.transformer), official_golden())


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
        (lambda p: torch.save({"model": {"a": torch.ones(1)}}, p), "plain state dict"),
        (lambda p: torch.save({"a": torch.tensor([float("nan")])}, p), "NaN"),
        (lambda p: torch.save({"a": torch.ones(1).half()}, p), "float16"),
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
    assert_same(to_official(again), state)

"""Files from elsewhere that would run code when they are read: no entry runs it."""

import ast
import os

import numpy as np
import pytest
import timm
import torch
import yaml
from helpers.repository import ROOT
from transformers import Dinov2Config

from xmdpt.config import ConfigError, Loader, load_config
from xmdpt.features.encoders import make_encoder
from xmdpt.photos.joints import read_keypoints
from xmdpt.photos.loading import PhotoError
from xmdpt.study.design import load_design
from xmdpt.support.hub import load_checkpoint
from xmdpt.training.states import read_state
from xmdpt.training.vae import load_vae
from xmdpt.weights.convert import CheckpointError, read_checkpoint

SMOKE = ROOT / "profiles/smoke.yaml"


class Payload:
    """Makes the folder `place` where it is unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def of_torch(name):
    def write(folder, place):
        torch.save({"weights": Payload(place)}, folder / name)
        return torch.load, folder / name, {"weights_only": False}

    return write


def of_numpy(folder, place):
    np.save(folder / "pose.npy", np.array([Payload(place)], dtype=object), allow_pickle=True)
    return np.load, folder / "pose.npy", {"allow_pickle": True}


def of_yaml(name):
    def write(folder, place):
        (folder / name).write_text(f"!!python/object/apply:os.mkdir [{str(place)!r}]\n")

        def run(path):
            yaml.load(path.read_text(), yaml.UnsafeLoader)

        return run, folder / name, {}

    return write


def for_timm(folder):
    (folder / "config.json").write_text('{"architecture": "test_vit", "num_classes": 0}')
    assert timm.is_model("test_vit")
    return make_encoder(str(folder))


def for_dinov2(folder):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Config(**small).save_pretrained(folder)
    return make_encoder(str(folder))


def for_vae(tiny_vae):
    def read(folder):
        tiny_vae.save_config(folder)
        return load_vae(load_config(SMOKE).vae.model_copy(update={"init": str(folder)}), 64, 0)

    return read


READ = {
    "a training's state": (of_torch("state.pt"), lambda at: read_state(at / "state.pt", set())),
    "the authors' weights": (of_torch("ema.pt"), lambda at: read_checkpoint(at / "ema.pt")),
    "weights of a metric": (
        of_torch("net.pth"), lambda at: load_checkpoint("https://none.invalid/net.pth", "it", at),
    ),
    "a model of timm": (of_torch("pytorch_model.bin"), for_timm),
    "a model of transformers": (of_torch("pytorch_model.bin"), for_dinov2),
    "an autoencoder": (of_torch("diffusion_pytorch_model.bin"), for_vae),
    "joints": (of_numpy, lambda at: read_keypoints(at / "pose.npy")),
    "settings": (of_yaml("params.yaml"), lambda at: load_config(at / "params.yaml")),
    "claims": (of_yaml("claims.yaml"), lambda at: load_design(at / "claims.yaml")),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_code_in_a_file_is_not_run(name, tmp_path, tiny_vae):
    write, read = READ[name]
    run, path, unsafe = write(tmp_path, tmp_path / "ran")
    run(path, **unsafe)
    (tmp_path / "ran").rmdir()  # it is run by whoever does not take care
    read = read(tiny_vae) if read is for_vae else read
    with pytest.raises((ConfigError, CheckpointError, PhotoError)) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


SAFE = "weights_only=True"
CAREFUL = {
    "torch.load": SAFE,
    "torch.hub.load_state_dict_from_url": SAFE,
    "yaml.load": ", Loader)",
}
CARELESS = ("eval", "exec", "pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load")


def test_the_package_reads_no_other_way():
    """Each entry above stands for a kind; here is every call."""
    assert issubclass(Loader, yaml.SafeLoader)
    found, wrong = set(), []
    for path in sorted(ROOT.glob("xmdpt/**/*.py")):
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        for node in calls:
            name, words = ast.unparse(node.func), ast.unparse(node)
            found.add(name)
            careless = name in CARELESS or "allow_pickle=True" in words or "shell=True" in words
            if careless or CAREFUL.get(name, "") not in words:
                wrong.append(f"{path}: {words}")
    assert wrong == [] and found >= CAREFUL.keys()

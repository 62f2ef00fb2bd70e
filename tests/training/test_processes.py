"""Several processes train what one trains: on the CPU, by torchrun, up to the order of sums."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from helpers.networks import make_vae
from helpers.people import write_dataset
from helpers.repository import ROOT
from safetensors.torch import load_file

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.cache import FeatureCache
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import SHARED
from xmdpt.training.run import build_model

STEPS = 50
WEIGHTS = "main/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with people, features and settings of a tiny run with MIPNet, in float32."""
    root = tmp_path_factory.mktemp("project")
    write_dataset(root / "people", people=6, views=3, test_people=2)
    tree = yaml.safe_load((ROOT / "profiles/study.yaml").read_text())
    tree["data"]["root"] = str(root / "people")
    tree["model"] |= {"hidden_size": 32, "depth": 3, "decode_layers": 1}
    tree["train"] |= {
        "checkpoints": {"main": STEPS}, "batch_size": 8, "ema_decay": 0.5, "warmup_steps": 5,
        "decay_steps": 0, "compile": False, "save_every": 15, "log_every": 1, "precision": "fp32",
    }  # fmt: skip
    tree["runs"] = ["base_b"]
    tree["experiments"] = {"base_b": {"title": "B"}}
    (root / "params.yaml").write_text(yaml.safe_dump(tree))
    config, data = load_config(root / "params.yaml"), DeepFashion(root / "people", 64)
    encoders = Encoders.load(make_vae(64, scaling_factor=0.5), config.features)
    names = data.pictures("train") + data.pictures("test")
    cache_features(root / SHARED, names, data, encoders, config.features, iter)
    return root


def start(project: Path, out: str, processes: int, *settings: str) -> subprocess.Popen[str]:
    """Begin to train by torchrun, in a process group of its own."""
    words = [word for setting in settings for word in ("--set", setting)]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(processes), "-m", "xmdpt", "train", "base_b", "--out", out, *words,
    ]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=project, env=env, text=True, stdout=pipe, stderr=pipe, start_new_session=True
    )


def train(project: Path, out: str, processes: int, *settings: str) -> str:
    """Train to the end; return what was said."""
    process = start(project, out, processes, *settings)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return said


def kill_after_a_state(project: Path, out: str, processes: int) -> None:
    """Train, and kill all processes once another state has been saved."""
    before = {path: path.stat().st_mtime_ns for path in project.glob(f".{out}.partial-*/state.pt")}
    process = start(project, out, processes)
    while process.poll() is None:
        now = {path: path.stat().st_mtime_ns for path in project.glob(f".{out}.partial-*/state.pt")}
        if now != before:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (project / out).exists(), "killed before the end"


def weights(project: Path, out: str) -> torch.Tensor:
    return torch.cat([value.flatten() for value in load_file(project / out / WEIGHTS).values()])


@pytest.fixture(scope="module")
def one(project):
    """The weights of one process, and how far they moved."""
    train(project, "one", 1)
    config = load_config(project / "params.yaml", "base_b")
    torch.manual_seed(config.training_seed)
    start = build_model(config, FeatureCache(project / SHARED)).state_dict()
    names = load_file(project / "one" / WEIGHTS)
    before = torch.cat([start[name].flatten() for name in names])
    after = weights(project, "one")
    return after, (after - before).norm()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_end_where_one_does(project, one, processes):
    said = train(project, f"of_{processes}", processes)
    assert f"8 pairs, {8 // processes} in each of {processes} processes" in said
    expected, moved = one
    assert (weights(project, f"of_{processes}") - expected).norm() < 1e-3 * moved
    columns = ["step", "loss", "mse", "masked_mse", "mse_q0", "mse_q3"]
    histories = [
        pd.read_csv(project / out / "history.tsv", sep="\t")[columns]
        for out in ("one", f"of_{processes}")
    ]
    pd.testing.assert_frame_equal(*histories, rtol=1e-3)


@pytest.mark.slow
def test_another_seed_ends_elsewhere(project, one):
    """So that the bound above says something."""
    train(project, "other", 1, "train.seed=1")
    expected, moved = one
    assert (weights(project, "other") - expected).norm() > 0.5 * moved


@pytest.mark.slow
def test_a_killed_run_goes_on_in_any_number_of_processes(project, one):
    kill_after_a_state(project, "moved", 2)
    kill_after_a_state(project, "moved", 1)
    train(project, "moved", 4)
    expected, moved = one
    assert (weights(project, "moved") - expected).norm() < 1e-3 * moved

"""Several processes train what one trains: on the CPU, by torchrun, up to the order of sums."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.projects import write_project
from helpers.repository import ROOT
from safetensors.torch import load_file

from xmdpt.config import load_config
from xmdpt.features.cache import FeatureCache
from xmdpt.features.rows import SHARED
from xmdpt.training.run import build_model

STEPS = 50
WEIGHTS = "main/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A tiny run with MIPNet."""
    root = tmp_path_factory.mktemp("project")
    settings = {"checkpoints": {"main": STEPS}, "batch_size": 8, "warmup_steps": 5}
    return write_project(root, {"base_b": {"title": "B"}}, save_every=15, **settings)


def torchrun(project: Path, processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)


def train(project: Path, out: str, processes: int, *settings: str) -> str:
    """Train to the end; return what was said."""
    words = [word for setting in settings for word in ("--set", setting)]
    done = torchrun(project, processes, "xmdpt", "train", "base_b", "--out", out, *words)
    assert done.returncode == 0, done.stderr
    return done.stderr


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
    """One process that dies ends the others, and what they saved is whole."""
    for processes, step in ((2, 18), (1, 33)):
        assert torchrun(project, processes, "helpers.killed", "moved", str(step)).returncode != 0
        assert not (project / "moved").exists()
    train(project, "moved", 4)
    expected, moved = one
    assert (weights(project, "moved") - expected).norm() < 1e-3 * moved
    steps = pd.read_csv(project / "moved/history.tsv", sep="\t")["step"]
    assert steps.tolist() == [*range(1, STEPS + 1)]

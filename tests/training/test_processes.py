"""Several processes train what one trains: on the CPU, by torchrun, up to the order of sums."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from diffusers import AutoencoderKL
from helpers.projects import make_features, write_project
from helpers.repository import ROOT
from safetensors.torch import load_file

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.cache import FeatureCache
from xmdpt.features.rows import SHARED
from xmdpt.training import processes as started
from xmdpt.training.device import PATIENCE
from xmdpt.training.errors import TrainingError
from xmdpt.training.run import build_model
from xmdpt.training.run_stage import train_stage
from xmdpt.training.vae import load_vae
from xmdpt.training.vae_stage import vae_stage

STEPS = 50
WEIGHTS = "main/diffusion_pytorch_model.safetensors"


def test_processes_share_the_cores_that_ours_may_use(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(started, "usable_cores", lambda: [2, 5, 7, 9])
    threads = [started._environment(count)["OMP_NUM_THREADS"] for count in (1, 2, 3, 8)]
    assert threads == ["4", "2", "1", "1"]


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
def one(project, ends):
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
def test_parts_of_a_share_change_nothing_either(project, one):
    said = train(project, "in_parts", 2, "train.accumulation=2")
    assert "8 pairs, 4 in each of 2 processes, 2 parts one after the other" in said
    expected, moved = one
    assert (weights(project, "in_parts") - expected).norm() < 1e-3 * moved


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


def ended(project: Path, kind: str, step: int) -> tuple[str, float]:
    """What is said when process 1 ends or hangs at a step, and how long all took from then on."""
    words = ("helpers.killed", f"of_{kind}", str(step), kind, "1")
    done = torchrun(project, 2, *words)
    seconds = time.time() - float((project / f"of_{kind}.time").read_text())
    assert done.returncode != 0
    return done.stderr, seconds


ENDS = {
    "kill": "Signal 9 (SIGKILL) received",
    # The others end after 20 s; torchrun gives what is frozen 30 more before it kills it.
    "stop": "error: process 1 has not been heard of for",
    "sleep": "error: process 1 hangs: the others have waited",
}
"""How process 1 ends or hangs -> what is said of it."""


@pytest.fixture(scope="module")
def ends(project):
    """What comes of each kind, begun at once: most of it is waiting, while other tests train."""
    with ThreadPoolExecutor() as pool:
        yield {kind: pool.submit(ended, project, kind, 20) for kind in ENDS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENDS)
def test_a_process_that_is_gone_or_hangs_ends_the_others(ends, kind):
    """Within a minute on an idle machine; left to themselves they would wait for ten."""
    said, seconds = ends[kind].result()
    assert ENDS[kind] in said
    assert seconds < PATIENCE.total_seconds() / 3


@pytest.mark.slow
def test_what_was_saved_before_a_process_hung_is_whole(project, one, ends):
    """As it is before one that is killed, above."""
    ends["sleep"].result()
    train(project, "of_sleep", 2)
    expected, moved = one
    assert (weights(project, "of_sleep") - expected).norm() < 1e-3 * moved


@pytest.mark.slow
def test_a_notice_to_one_process_saves_and_ends_all(project, one):
    """Of one step, whichever process was told; the others learn of it after the step."""
    done = torchrun(project, 2, "helpers.killed", "noticed", "20", "notice", "1")
    assert done.returncode != 0
    assert done.stderr.count("stopped: saved at step 21 of 50") == 2
    steps = pd.read_csv(project / "one/history.tsv", sep="\t")["step"].tolist()
    train(project, "noticed", 2)
    assert pd.read_csv(project / "noticed/history.tsv", sep="\t")["step"].tolist() == steps
    expected, moved = one
    assert (weights(project, "noticed") - expected).norm() < 1e-3 * moved


@pytest.mark.slow
def test_source_tokens_on_the_fly_in_several_processes(tmp_path):
    settings = {"checkpoints": {"main": 8}, "batch_size": 4, "save_every": 4}
    project = write_project(tmp_path, {"base_b": {"title": "B"}}, **settings)
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["features"]["source_tokens"] = "on_the_fly"
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    shutil.rmtree(project / SHARED)
    make_features(project)
    assert "source_pictures" in FeatureCache(project / SHARED).stored
    for processes in (1, 2):
        train(project, f"of_{processes}", processes)
    alone, several = (weights(project, f"of_{processes}") for processes in (1, 2))
    train(project, "other", 1, "train.seed=1")
    apart = (weights(project, "other") - alone).norm()
    assert (several - alone).norm() < 1e-3 * apart


@pytest.mark.slow
def test_the_stage_starts_its_processes_and_shows_what_they_log(project, one, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = load_config(run="base_b")
    config = config.model_copy(update={"train": config.train.model_copy(update={"processes": 2})})
    logged: list[float] = []
    history = train_stage(
        config, "base_b", "params.yaml", SHARED, lambda row: logged.append(row["step"]), print
    )
    assert logged == [*range(1, STEPS + 1)] == history["step"].tolist()
    expected, moved = one
    assert (weights(project, "models/base_b") - expected).norm() < 1e-3 * moved


@pytest.mark.slow
def test_what_fails_in_a_process_is_said_in_the_notebook(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    config = load_config(run="base_b")
    config = config.model_copy(update={"train": config.train.model_copy(update={"processes": 3})})
    with pytest.raises(TrainingError, match="8 cannot be divided equally among 3 processes"):
        train_stage(config, "base_b", "params.yaml", SHARED, print, print)


@torch.no_grad()
def reconstruction(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = vae.eval().decode(vae.encode(pictures).latent_dist.mean).sample
    return made


@pytest.mark.slow
def test_the_autoencoder_trains_in_several_processes(project, monkeypatch):
    """Its encoder too, with colours permuted and pictures turned, to what one process makes.

    Not to its weights: those of a bias before a normalisation have no gradient but rounding.
    """
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["vae"] |= {
        "init": None, "train_encoder": True, "steps": 8, "batch_size": 4, "crop": 32,
        "ema_decay": 0.5, "save_every": 4, "precision": "fp32", "equivariance": 0.5,
        "decay_steps": 0, "block_out_channels": [8, 8], "layers_per_block": 1,
    }  # fmt: skip
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pictures = 2 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 1
    made, losses = {}, {}
    for processes, seed in ((1, 0), (2, 0), (1, 1)):
        tree["train"]["processes"], tree["seed"] = processes, seed
        params = project / f"vae_{processes}_{seed}.yaml"
        params.write_text(yaml.safe_dump(tree))
        config = load_config(params)
        data = DeepFashion(config.data.root, config.data.size)
        vae = load_vae(config.vae, config.data.size, 0)
        made["before"] = reconstruction(vae, pictures)
        folder = project / f"vae_{processes}_{seed}"
        folder.mkdir()
        steps = vae_stage(config, params, vae, data, data.pictures("train"), folder)
        losses[processes, seed] = [one.losses["loss"] for one in steps]
        made[processes, seed] = reconstruction(vae, pictures)
    alone, several, other = (made[key] for key in ((1, 0), (2, 0), (1, 1)))
    moved = (alone - made["before"]).norm()
    assert (several - alone).norm() < 1e-3 * moved < (other - alone).norm()
    assert losses[2, 0] == pytest.approx(losses[1, 0], rel=1e-3) and len(losses[2, 0]) == 8

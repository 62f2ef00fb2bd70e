"""The paper's profile end to end through DVC, on a miniature of DeepFashion and of its networks.

The miniature is of rendered people, in the files that people have of the real one.

Only paths, step counts (with the decay of the average of weights) and batch sizes differ from
profiles/paper.yaml. The networks are tiny
ones of the real classes with random weights, saved in the layouts in which the hub and torch keep
the real ones; so the numbers mean nothing, and everything that makes them runs.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers.networks import make_vae, tiny_dinov2
from helpers.repository import ROOT
from torchvision.models import alexnet, inception_v3

from xmdpt.people.dataset import render_dataset

RUN = "size_s"


def copy_project(target: Path) -> None:
    """The files that git knows of, with the changes not yet committed, as a repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    (target / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)


def write_networks(folder: Path) -> None:
    """A VAE, two DINOv2, and Inception and AlexNet in torch's home."""
    make_vae(256, scaling_factor=0.18215).save_pretrained(folder / "vae")
    for name in ("source", "pose"):
        tiny_dinov2().save_pretrained(folder / name)
    checkpoints = folder / "torch/hub/checkpoints"
    checkpoints.mkdir(parents=True)
    inception = inception_v3(weights=None, init_weights=False)
    torch.save(inception.state_dict(), checkpoints / "inception_v3_google-0cc3c7bd.pth")
    torch.save(alexnet(weights=None).state_dict(), checkpoints / "alexnet-owt-7be5be79.pth")


def write_people(root: Path) -> Path:
    """72 training pictures and 72 test pairs: the protocol's networks drop partial batches of 64.

    As people have it: pictures in img_highres, NTED's key points, lists and pairs.
    """
    render_dataset(
        root, identities=9, test_identities=1, views=9, height=96, samples_per_pixel=2, workers=1
    )
    (root / "img").rename(root / "img_highres")
    names = (root / "test.lst").read_text().split()
    lines = [f"{target},{source}\n" for target, source in itertools.permutations(names, 2)]
    (root / "test_pairs.txt").write_text("".join(lines))
    return root


def write_settings(project: Path, networks: Path) -> None:
    settings = yaml.safe_load((project / "profiles/paper.yaml").read_text())
    settings["runs"] = [RUN]
    settings["vae"] |= {"init": str(networks / "vae"), "steps": 2, "batch_size": 2}
    settings["features"] |= {
        "source_encoder": str(networks / "source"),
        "pose_encoder": str(networks / "pose"),
    }
    settings["train"] |= {
        "checkpoints": {"ablation": 1, "main": 2},
        "ema_decay": 0.05,
        "batch_size": 2,
        "save_every": 1,
        "log_every": 1,
    }
    settings["sample"] |= {"num_inference_steps": 2, "batch_size": 24}
    settings["costs"] = {
        "models": ["x_mdpt_s"],
        "repeats": 1,
        "batch_size": 1,
        "train_batch_size": 1,
    }
    (project / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


@pytest.mark.slow
def test_the_paper_profile_runs_end_to_end(tmp_path):
    project, networks = tmp_path / "xmdpt", tmp_path / "networks"
    copy_project(project)
    write_networks(networks)
    write_settings(project, networks)
    write_people(project / "data/raw/deepfashion")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "TORCH_HOME": str(networks / "torch"),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "DVC_NO_ANALYTICS": "1",
    }
    dvc = [sys.executable, "-m", "dvc"]
    made = subprocess.run(
        [*dvc, "repro"], cwd=project, env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]

    scores = json.loads((project / f"reports/scores/{RUN}.json").read_text())
    text = json.dumps(scores)
    for metric in ("fid", "lpips", "ssim", "psnr"):
        assert f'"{metric}' in text, f"{metric} is not among the scores: {sorted(scores)}"
    assert "st_lpips" not in text and "fd_effnet" not in text
    assert (project / "reports/index.html").stat().st_size > 10_000
    assert len(list((project / f"data/samples/{RUN}/main").glob("*.png"))) == 72
    assert subprocess.run([*dvc, "status", "--quiet"], cwd=project, env=environment).returncode == 0

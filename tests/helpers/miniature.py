"""A miniature of DeepFashion and of its networks, and a copy of the repository to use them in.

The people are rendered, in the files that people have of the real set; the networks are tiny ones
of the real classes with random weights, in the layouts in which the hub and torch keep the real
ones.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from torchvision.models import alexnet, inception_v3

from helpers.networks import make_vae, tiny_dinov2
from helpers.repository import ROOT
from xmdpt.people.dataset import render_dataset

SAMPLE = {"num_inference_steps": 2, "batch_size": 24}
COSTS = {"models": ["x_mdpt_s"], "repeats": 1, "batch_size": 1, "train_batch_size": 1}
"""Settings of a miniature's sections: as little work as there can be."""


EXHIBITS = """
from pathlib import Path

import matplotlib
from IPython.core.interactiveshell import InteractiveShell

from xmdpt.stages.notebook import PARAMETERS, has_tag, read_notebook

matplotlib.use("agg")
for path in sorted(Path("notebooks/paper").glob("*.ipynb")):
    for part in "abcde" if path.stem == "table_2" else [None]:
        shell = InteractiveShell()
        for cell in read_notebook(path).cells:
            if cell.cell_type == "code":
                shell.run_cell(cell.source).raise_error()
            if part is not None and has_tag(cell, PARAMETERS):
                shell.push({"part": part})
        print(path.stem, part or "", "was drawn")
"""


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


def call(project: Path, torch_home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call Python in a copy of the repository, with its package and without a network."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "TORCH_HOME": str(torch_home),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "DVC_NO_ANALYTICS": "1",
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )


def dvc(project: Path, torch_home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call DVC there."""
    return call(project, torch_home, "-m", "dvc", *words)


def draw_exhibits(project: Path, torch_home: Path) -> subprocess.CompletedProcess[str]:
    """Carry out the notebooks of all exhibits there in one process: a kernel each takes long."""
    return call(project, torch_home, "-c", EXHIBITS)

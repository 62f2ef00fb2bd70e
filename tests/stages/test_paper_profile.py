"""The paper's profile end to end through DVC, on a miniature of DeepFashion and of its networks.

The miniature is of rendered people, in the files that people have of the real one.

Only paths, step counts (with the decay of the average of weights) and batch sizes differ from
profiles/paper.yaml. The networks are tiny
ones of the real classes with random weights, saved in the layouts in which the hub and torch keep
the real ones; so the numbers mean nothing, and everything that makes them runs.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from helpers.miniature import (
    COSTS,
    SAMPLE,
    call,
    copy_project,
    draw_exhibits,
    dvc,
    write_networks,
)

RUN = "size_s"
STAGES = ("evaluate", "costs")
"""With all that they need; the exhibits follow in one process."""
EXHIBITS = 21


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
    settings["sample"] |= SAMPLE
    settings["costs"] = COSTS
    (project / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


@pytest.mark.slow
def test_the_paper_profile_runs_end_to_end(photographed, tmp_path):
    project, networks = tmp_path / "xmdpt", tmp_path / "networks"
    copy_project(project)
    write_networks(networks)
    write_settings(project, networks)
    shutil.copytree(photographed, project / "data/raw/deepfashion")
    torch_home = networks / "torch"
    for made in (
        dvc(project, torch_home, "repro", *STAGES),
        draw_exhibits(project, torch_home),
        call(project, torch_home, "-m", "xmdpt", "report"),
    ):
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]

    scores = json.loads((project / f"reports/scores/{RUN}.json").read_text())
    text = json.dumps(scores)
    for metric in ("fid", "lpips", "ssim", "psnr"):
        assert f'"{metric}' in text, f"{metric} is not among the scores: {sorted(scores)}"
    assert "st_lpips" not in text and "fd_effnet" not in text
    assert (project / "reports/index.html").stat().st_size > 10_000
    assert len(list((project / f"data/samples/{RUN}/main").glob("*.png"))) == 72
    assert len(list((project / "reports/exhibits").glob("*/exhibit.json"))) == EXHIBITS
    assert dvc(project, torch_home, "status", "--quiet", *STAGES).returncode == 0

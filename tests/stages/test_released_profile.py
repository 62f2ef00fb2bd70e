"""The profile `released` end to end through DVC: a miniature of DeepFashion, random checkpoints.

Only the names of networks, the sizes of models and the numbers of steps and pictures differ from
profiles/released.yaml. The checkpoints are in the authors' format; so the numbers mean nothing, and
everything that makes them runs.
"""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from helpers.miniature import COSTS, SAMPLE, copy_project, dvc, write_networks
from helpers.networks import assert_same_tensors
from helpers.repository import ROOT

from xmdpt.config import load_config
from xmdpt.evaluation.protocols import PROTOCOLS
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.weights.convert import to_official
from xmdpt.weights.released import missing_files

RUNS = {"base_b": 48}
"""The widths of the checkpoints."""


def write_checkpoint(path: Path, width: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(width)
    model = XMDPTTransformer2DModel(
        sample_size=32, hidden_size=width, depth=4, num_heads=2, decode_layers=2,
        pose_tokens=257, pose_width=32, source_tokens=257, source_width=32,
    )  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(to_official(model), path)
    return model.state_dict()


def write_settings(project: Path, networks: Path) -> None:
    settings = yaml.safe_load((project / "profiles/released.yaml").read_text())
    settings["runs"] = [*RUNS]
    settings["vae"]["init"] = str(networks / "vae")
    settings["features"] |= {
        "source_encoder": str(networks / "source"),
        "pose_encoder": str(networks / "pose"),
    }
    settings["model"] |= {"depth": 4, "num_heads": 2}
    for run, width in RUNS.items():
        settings["experiments"][run]["model"] = {"hidden_size": width}
    settings["evaluate"]["also"] = ["cfld"]
    settings["sample"] |= SAMPLE
    settings["costs"] = COSTS
    (project / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


@pytest.mark.slow
def test_the_released_profile_runs_end_to_end(photographed, tmp_path):
    project, networks = tmp_path / "xmdpt", tmp_path / "networks"
    copy_project(project)
    write_networks(networks)
    write_settings(project, networks)
    shutil.copytree(photographed, project / "data/raw/deepfashion")
    first = dvc(project, networks / "torch", "repro", "released")
    assert first.returncode != 0 and "trungpx/xmdpt on GitHub" in first.stdout + first.stderr
    states = {
        run: write_checkpoint(project / f"data/released/{run}.pt", width)
        for run, width in RUNS.items()
    }
    # What needs no training; tests/stages/test_paper_profile.py has all the other exhibits.
    wanted = ("from_scores@table_1", "from_pictures@figure_7")
    made = dvc(project, networks / "torch", "repro", *wanted)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]

    for run, state in states.items():
        model = XMDPTTransformer2DModel.from_pretrained(project / f"models/{run}/ablation")
        assert_same_tensors(model.state_dict(), state)
        assert len([*(project / f"data/samples/{run}/ablation").glob("*.png")]) == 72
        metrics = json.loads((project / f"reports/metrics/{run}.json").read_text())
        assert {"fid", "ssim", "lpips"} <= metrics["ablation"].keys()
        assert {"fid", "ssim", "lpips"} <= metrics["ablation, cfld"].keys()
        history = pd.read_csv(project / f"reports/metrics/train_{run}.tsv", sep="\t")
        assert history["step"].tolist() == [300_000]
    table = pd.read_csv(project / "reports/exhibits/table_1/table_1.csv")
    ours = table[table["our FID ↓"].notna() & table["paper's steps"].notna()]
    assert ours["paper's FID ↓"].tolist() == [6.7288]
    about = json.loads((project / "reports/exhibits/table_1/exhibit.json").read_text())
    assert "the authors' published ones" in about["provenance"]
    assert (project / "reports/exhibits/figure_7/figure_7.png").stat().st_size > 10_000
    assert dvc(project, networks / "torch", "status", "--quiet", *wanted).returncode == 0


def test_what_is_missing_is_named_with_where_it_comes_from(tmp_path, monkeypatch):
    config = load_config(ROOT / "profiles/released.yaml")
    monkeypatch.chdir(tmp_path)
    lines = missing_files(config)
    assert [line.partition(": missing: ")[0] for line in lines] == [
        "data/released/base_b.pt",
        "data/released/size_s.pt",
        "data/released/size_l.pt",
        "data/released/vae/config.json",
    ]
    assert all(
        "the README of trungpx/xmdpt on GitHub links to it: put it there" in x for x in lines
    )
    assert missing_files(load_config(ROOT / "profiles/paper.yaml")) == []


def test_pictures_are_scored_under_every_protocol_of_their_size():
    rules = load_config(ROOT / "profiles/released.yaml").evaluate
    assert {rules.protocol, *rules.also} == PROTOCOLS.keys() - {"cfld-512", "synthetic"}

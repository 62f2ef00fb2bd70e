"""Shares of a stage, done in any order, and the stage after them: the bytes of one process."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import AutoencoderKL
from helpers.commands import xmdpt
from helpers.projects import write_project

from xmdpt.config import ConfigError, load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.evaluation.evaluate import evaluate_pairs
from xmdpt.evaluation.shards import RowStore, row_store
from xmdpt.evaluation.summary import summarise
from xmdpt.features.cache import FeatureCache
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import SHARED
from xmdpt.people.dataset import render_dataset
from xmdpt.stages.shards import do_shard
from xmdpt.support.arguments import BadInput
from xmdpt.support.shards import NOTES, Shard
from xmdpt.training.run import build_model
from xmdpt.weights.runs import draw_run

RUN = "base_b"
RENDERED = {
    "identities": 3,
    "test_identities": 1,
    "views": 2,
    "height": 64,
    "samples_per_pixel": 2,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project up to the stage `train`, whose weights are random."""
    root = write_project(
        tmp_path_factory.mktemp("project"), {RUN: {"title": "B"}}, checkpoints={"main": 10}
    )
    tree = yaml.safe_load((root / "params.yaml").read_text())
    tree["sample"] |= {"num_inference_steps": 2, "batch_size": 3, "precision": "fp32"}
    tree["sample"]["checkpoints"] = {"main": None}
    (root / "params.yaml").write_text(yaml.safe_dump(tree))
    torch.manual_seed(0)
    model = build_model(load_config(root / "params.yaml", RUN), FeatureCache(root / SHARED))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(root / "models" / RUN / "main")
    return root


@pytest.fixture
def project(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def drop_work(path: Path) -> None:
    """Delete what the stage keeps until it is on record."""
    (work,) = path.parent.glob(f".{path.name}.partial-*")
    shutil.rmtree(work)


def test_pictures_drawn_in_shards(project):
    config = load_config(run=RUN)
    data = DeepFashion(config.data.root, config.data.size)
    samples = Path("data/samples") / RUN
    drawn = draw_run(config, RUN, data)
    alone = files(samples)
    drop_work(samples)
    assert len(alone) == len(drawn["main"]) > 2 * 3, "more than two batches"
    shutil.rmtree(samples)
    for index in (1, 0):
        do_shard("sample", RUN, Shard(index, 2))
        assert not samples.exists(), "the stage puts it together"
    (work,) = samples.parent.glob(f".{RUN}.partial-*")
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.png")}
    lost, changed = sorted(before)[:2]
    lost.unlink()
    changed.write_bytes(changed.read_bytes()[:-1])
    notes = [json.loads(path.read_text()) for path in work.glob(NOTES)]
    damaged = {lost.relative_to(work).as_posix(), changed.relative_to(work).as_posix()}
    again = {name for note in notes if damaged & note.keys() for name in note}
    draw_run(config, RUN, data)
    assert files(samples) == alone
    kept = [path for path in before if path.relative_to(work).as_posix() not in again]
    assert kept and all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_pictures_of_other_code_or_settings_are_not_gone_on_with(project, monkeypatch):
    def unfinished() -> int:
        do_shard("sample", RUN, Shard(0, 2))
        return len([*Path("data/samples").glob(f".{RUN}.partial-*")])

    before = unfinished()
    assert unfinished() == before, "nothing has changed"
    monkeypatch.setattr("xmdpt.weights.runs.code_key", lambda *patterns: "another")
    assert unfinished() == before + 1
    path = Path("models/vae/config.json")
    settings = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(settings) | {"scaling_factor": 0.25}))
        assert unfinished() == before + 2
    finally:
        path.write_text(settings)


def test_pairs_scored_in_shards(project, monkeypatch):
    monkeypatch.setattr(sys.modules[evaluate_pairs.__module__], "BATCH", 3)
    config = load_config(run=RUN)
    data = DeepFashion(config.data.root, config.data.size)
    draw_run(config, RUN, data)
    folders = {"main": Path("data/samples") / RUN / "main"}
    rules = config.evaluate.protocol
    alone = summarise(folders, data.root, data.root, rules, 0, progress=False)
    for index in (1, 0):
        do_shard("evaluate", RUN, Shard(index, 2))
    store = row_store(RUN)
    rows = sorted(store.folder.rglob("rows-*.json"))
    assert len(rows) > 2 * 2, "of two protocols, more than two batches each"
    before = {path: path.stat().st_mtime_ns for path in rows}
    scores, table = summarise(folders, data.root, data.root, rules, 0, store=store, progress=False)
    assert scores == alone[0]
    assert table.equals(alone[1])
    assert {path: path.stat().st_mtime_ns for path in rows} == before, "nothing was scored anew"
    store.forget()
    assert not store.folder.exists()


def test_pairs_are_not_scored_by_a_stage_and_its_shards_at_once(project):
    """Nor are the rows of a shard at work forgotten."""
    config = load_config(run=RUN)
    data = DeepFashion(config.data.root, config.data.size)
    draw_run(config, RUN, data)
    store, shard = row_store(RUN), row_store(RUN, Shard(0, 2))
    folders = {"main": Path("data/samples") / RUN / "main"}
    with shard.at_work():
        do_shard("evaluate", RUN, Shard(1, 2))
        with pytest.raises(BadInput, match=r"shard 0/2 \(process .* is at work on it; wait for it"):
            summarise(folders, data.root, data.root, "synthetic", 0, store=store, progress=False)
        store.forget()
        assert store.folder.exists()
    with store.at_work(), pytest.raises(BadInput, match=r"scores/base_b: process .* is at work"):
        do_shard("evaluate", RUN, Shard(1, 2))
    store.forget()
    assert not store.folder.exists()


def test_rows_of_other_pictures_or_rules_are_not_taken(project, tmp_path):
    config = load_config(run=RUN)
    data = DeepFashion(config.data.root, config.data.size)
    draw_run(config, RUN, data)
    folder = shutil.copytree(Path("data/samples") / RUN / "main", tmp_path / "results")
    store = RowStore(tmp_path / "rows")

    def scored(protocol="synthetic"):
        return evaluate_pairs(folder, data.root, protocol, progress=False, store=store)

    first = scored()
    assert scored().equals(first) and len([*store.folder.iterdir()]) == 1
    result = folder / first["result"][0]
    shutil.copy(folder / first["result"][1], result)
    assert scored()["psnr"][0] != first["psnr"][0]
    assert len([*store.folder.iterdir()]) == 2


def test_features_in_shards(project):
    alone = files(SHARED)
    shutil.rmtree(SHARED)
    for index in (2, 0, 1):  # more shards than files of features
        do_shard("features", None, Shard(index, 3))
    (work,) = SHARED.parent.glob(".features.partial-*")
    (made,) = work.glob("*.safetensors")
    before = made.stat().st_mtime_ns
    do_shard("features", None, Shard(0, 1))
    assert made.stat().st_mtime_ns == before
    config = load_config()
    data = DeepFashion(config.data.root, config.data.size)
    vae = AutoencoderKL.from_pretrained("models/vae", local_files_only=True)
    encoders = Encoders.load(vae, config.features)
    names = data.pictures("train") + data.pictures("test")
    cache_features(SHARED, names, data, encoders, config.features, iter)
    assert files(SHARED) == alone


def times(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*.jpg")}


@pytest.mark.slow
def test_people_rendered_in_shards(tmp_path):
    render_dataset(tmp_path / "alone", **RENDERED, workers=1)
    for index in (1, 0):
        render_dataset(tmp_path / "set", **RENDERED, workers=1, shard=Shard(index, 2))
        assert not (tmp_path / "set").exists()
    (work,) = tmp_path.glob(".set.partial-*")
    before = times(work)
    assert len(before) == 3 * 2
    render_dataset(tmp_path / "set", **RENDERED, workers=1)
    assert files(tmp_path / "set") == files(tmp_path / "alone")
    assert times(tmp_path / "set") == before


def test_what_is_missing_is_said(project, monkeypatch, capsys, tmp_path):
    with pytest.raises(ConfigError, match=f"sample: needs a run, one of {RUN}"):
        do_shard("sample", None, Shard())
    with pytest.raises(ConfigError, match="features is the same for all runs"):
        do_shard("features", RUN, Shard())
    shutil.copy(project / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    for stage, cure in (("sample", "vae"), ("evaluate", f"sample@{RUN}")):
        assert xmdpt(monkeypatch, "stage", stage, RUN, "--shard", "0/2") == 2
        assert f"missing; `dvc repro {cure}` makes it" in capsys.readouterr().err
    assert xmdpt(monkeypatch, "stage", "features", "--shard", "2/2") == 2
    assert "from 0 to n-1" in capsys.readouterr().err

"""The examples of CONTRIBUTING.md, carried out."""

import inspect
import re
import types
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from helpers.people import SIZE, write_dataset
from helpers.repository import ROOT
from PIL import Image
from skimage.metrics import structural_similarity

from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.evaluation import evaluate
from xmdpt.evaluation.protocols import PIDM
from xmdpt.features import encoders, make
from xmdpt.features.cache import FeatureCache
from xmdpt.features.make import Encoders, cache_features
from xmdpt.paper import exhibits
from xmdpt.training.run import build_model

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", TEXT, re.MULTILINE))
PARAMS = ROOT / "profiles/synthetic.yaml"


def examples(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """The stages of the graph that tmp_path holds."""
    monkeypatch.chdir(tmp_path)

    def names() -> dict[str, set[str]]:
        with Repo.init(no_scm=True) as repo:
            return {
                stage.addressing: {out.def_path for out in stage.outs}
                for stage in repo.index.stages
            }

    return names


def test_the_ablation_is_a_run_of_the_graph(tmp_path, stages):
    [example] = map(yaml.safe_load, examples("An ablation", "yaml"))
    params = yaml.safe_load(PARAMS.read_text())
    example["runs"] = params["runs"] + example["runs"]
    example["experiments"] = params["experiments"] | example["experiments"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params | example))
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())

    config, base = (load_config("params.yaml", run=run) for run in ("mask_90", "base_b"))
    assert config.model == base.model.model_copy(update={"mask_ratio": 0.9}) != base.model
    assert (config.train, config.sample) == (base.train, base.sample), "a fair comparison"
    wanted = {f"{stage}@mask_90" for stage in ("train", "sample", "evaluate")}
    assert wanted <= set(stages())


def test_the_encoder_fills_a_cache_that_a_model_is_built_for(
    people, tiny_vae, tmp_path, monkeypatch
):
    network, case = examples("An encoder", "python")
    source = inspect.getsource(encoders)
    for place, example in {"\ndef make_encoder(": network, '    if "/" not in name': case}.items():
        assert source.count(place) == 1
        source = source.replace(place, f"\n{example}\n{place}")
    changed = types.ModuleType("changed")
    exec(compile(source, "changed", "exec"), vars(changed))
    monkeypatch.setattr(make, "make_encoder", changed.make_encoder)

    config = load_config(ROOT / "profiles/smoke.yaml")
    settings = config.features.model_copy(update={"source_encoder": "colour_grid"})
    data = DeepFashion(people, SIZE)
    networks = Encoders.load(tiny_vae, settings)
    names = data.pictures("test")
    cache_features(tmp_path / "features", names, data, networks, settings, iter)
    cache = FeatureCache(tmp_path / "features")
    assert cache.shape("source_tokens") == (17, 3)
    tokens = cache.read("source_tokens", np.array([0]), np.array([0]))[0].float().numpy()
    picture = data.picture(names[0]) / 127.5 - 1
    cells = picture.reshape(4, SIZE // 4, 4, SIZE // 4, 3).mean(axis=(1, 3)).reshape(16, 3)
    np.testing.assert_allclose(tokens, [cells.mean(axis=0), *cells], atol=1e-3)
    assert build_model(config, cache).config.source_width == 3


@pytest.mark.filterwarnings("ignore:references in")
def test_the_protocol_scores_by_its_own_rules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = DeepFashion(write_dataset(tmp_path / "data/raw/deepfashion"), SIZE)
    pair = data.pairs("test")[0]
    (tmp_path / "results/mine").mkdir(parents=True)
    source, target = (
        Image.open(data.root / name).resize((256, 256), Image.Resampling.BICUBIC) for name in pair
    )
    source.save(tmp_path / "results/mine" / result_name(*pair))
    [example] = examples("A protocol", "python")
    given: dict = {}
    exec(example, given)
    prediction = np.asarray(source).astype(float)
    expected = structural_similarity(
        prediction,
        np.asarray(target).astype(float),
        gaussian_weights=True,
        sigma=0.8,
        use_sample_covariance=False,
        data_range=np.ptp(prediction),
        channel_axis=-1,
    )
    scores = given["scores"]
    assert set(scores) == {"ssim", "psnr", "count"} and scores["count"] == 1
    assert scores["ssim"] == pytest.approx(expected, abs=1e-3)
    usual = evaluate("results/mine", "data/raw/deepfashion", protocol=replace(PIDM, perceptual=()))
    assert abs(usual["ssim"] - scores["ssim"]) > 0.01


def test_the_exhibit_is_written_and_is_a_stage(tmp_path, stages, monkeypatch):
    monkeypatch.setattr(exhibits, "EXHIBITS", (*exhibits.EXHIBITS, "table_6"))
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    (tmp_path / "reports/metrics").mkdir(parents=True)
    for run, loss in (("base_b", 0.25), ("no_mask", 0.125)):
        history = pd.DataFrame({"step": [10, 20], "loss": [1.0, loss]})
        history.to_csv(tmp_path / f"reports/metrics/train_{run}.tsv", sep="\t", index=False)
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    [added] = map(yaml.safe_load, examples("An exhibit", "yaml"))
    for stage, more in added["stages"].items():
        graph["stages"][stage]["matrix"]["exhibit"] += more["matrix"]["exhibit"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(graph))

    made = stages()["from_scores@table_6"]
    [cell] = examples("An exhibit", "python")
    exec(cell, {})
    [record] = exhibits.read_exhibits()
    assert record["name"] == "table_6" and "X-MDPT-B" in record["provenance"]
    folder = exhibits.exhibit_folder("table_6")
    assert folder.as_posix() in made
    table = pd.read_csv(folder / "table_6.csv", dtype=str)
    assert table.values.tolist() == [["base_b", "0.2500"], ["no_mask", "0.1250"]]


def test_no_example_is_left_out():
    carried_out = {("An ablation", "yaml"): 1, ("An encoder", "python"): 2,
                   ("A protocol", "python"): 1, ("An exhibit", "python"): 1,
                   ("An exhibit", "yaml"): 1}  # fmt: skip
    found = sum(len(examples(name, kind)) for name in SECTIONS for kind in ("python", "yaml"))
    assert found == sum(carried_out.values())
    assert all(len(examples(*where)) == count for where, count in carried_out.items())

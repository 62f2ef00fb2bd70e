"""Settings: mistakes are named, experiments are differences."""

from pathlib import Path

import pytest
import yaml

from xmdpt.config import ConfigError, load_config

TEXT = Path("profiles/smoke.yaml").read_text()


def written(tmp_path, change):
    tree = yaml.safe_load(TEXT)
    change(tree)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c["train"].update(learning_rat=1), "train.learning_rat: is not a setting"),
        (lambda c: c["train"].update(learning_rate="fast"), "train.learning_rate"),
        (lambda c: c["train"].update(save_every=3, log_every=2), "save_every must be a multiple"),
        (lambda c: c["model"].pop("depth"), "model.depth"),
        (lambda c: c["model"].update(mip_attention="both"), "model.mip_attention"),
        (lambda c: c["data"].update(size=100), "data: .*size must be a multiple of 32"),
        (lambda c: c["data"]["rendered"].update(test_identities=5), "rendered.*must leave some"),
        (lambda c: c["data"].update(views=3), r"data\.views: is not a setting"),
        (lambda c: c["data"].update(root="data/raw"), "cannot share a folder with raw"),
        (lambda c: c["data"].update(root=c["data"]["raw"] + "/index"), "cannot share a folder"),
        (lambda c: c["model"].update(num_heads=7), "multiple of num_heads"),
        (lambda c: c["train"].update(checkpoints={}), "train.checkpoints"),
        (lambda c: c["train"].update(checkpoints={"ablation": 1}), "'main' is not in train"),
        (lambda c: c["evaluate"].update(protocol="mine"), "evaluate.protocol"),
        (lambda c: c["experiments"]["base_b"].update(model={"depth": 1}), "experiments.base_b: "),
        (lambda c: c.update(runs=["base_x"]), "'base_x' is not in experiments"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path, change, complaint):
    path = written(tmp_path, change)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_an_experiment_is_a_difference(tmp_path):
    experiment = {"title": "deep", "model": {"depth": 9}, "train": {"ema_decay": 0.25}}
    path = written(tmp_path, lambda c: c["experiments"].update(deep=experiment))
    base, deep = load_config(path, "base_b"), load_config(path, "deep")
    assert deep.model == base.model.model_copy(update={"depth": 9})
    assert deep.train == base.train.model_copy(update={"ema_decay": 0.25})


def test_an_experiment_with_an_unknown_setting_is_refused(tmp_path):
    experiment = {"title": "odd", "model": {"width": 9}}
    path = written(tmp_path, lambda c: c["experiments"].update(odd=experiment))
    with pytest.raises(ConfigError, match=r"experiments\.odd: model\.width: is not a setting"):
        load_config(path, "odd")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="xmdpt profile"):
        load_config(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(tmp_path / "params.yaml")


def test_exponents_without_a_point_are_numbers(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("learning_rate: 1.0e-4", "learning_rate: 1e-4"))
    assert load_config(path).train.learning_rate == 1e-4

"""Profiles, the lock and the environment: what a clone is set up and run with."""

import re

import pytest
import yaml
from helpers.repository import PROFILES, ROOT
from ruamel.yaml import YAML

from xmdpt.config import load_config


def leaves(tree, key=""):
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, f"{key}.{name}")
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value, key)
    else:
        yield key, tree


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_numbers_are_numbers_in_either_yaml(path):
    text = path.read_text()
    old, new = yaml.safe_load(text), YAML(typ="safe").load(text)
    assert old == new
    for key, value in leaves(old):
        if isinstance(value, str):
            assert not re.fullmatch(r"[-+]?[\d.][\d._]*([eE][-+]?\d+)?", value), f"{key}: {value}"


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_is_valid_for_each_of_its_experiments(path):
    config = load_config(path)
    assert config.profile == path.stem
    for run in config.experiments:
        load_config(path, run=run)


def test_the_default_is_the_synthetic_profile():
    default = (ROOT / "profiles/synthetic.yaml").read_text()
    assert (ROOT / "params.yaml").read_text() == default, "run: xmdpt profile synthetic"


def test_conda_installs_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *packages, pip = environment["dependencies"]
    assert packages == ["python=3.11", "pip"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}


def test_the_lock_holds_every_dependency():
    pyproject = (ROOT / "pyproject.toml").read_text()
    lock = (ROOT / "requirements.lock").read_text()
    locked = {line.split("==")[0].lower() for line in lock.splitlines() if "==" in line}
    wanted = re.findall(r'^    "([A-Za-z0-9_-]+)[><=]', pyproject, re.MULTILINE)
    assert len(wanted) > 20
    assert {name.lower().replace("_", "-") for name in wanted} <= {
        name.replace("_", "-") for name in locked
    }

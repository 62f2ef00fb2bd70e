"""The graph: what each stage of dvc.yaml depends on, runs, and makes."""

import ast
import re
from functools import cache
from pathlib import Path

import grimp
import nbformat
import pytest
import yaml
from helpers.repository import ROOT, code_of

from xmdpt.config import TrainConfig, VAEConfig
from xmdpt.stages.notebook import declared_parameters
from xmdpt.training import run, vae

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())
# A stage need not run again for a module that only watches it.
WATCHER = "xmdpt.stages.tracking"
# Settings that only label what a stage makes; W&B is told the whole profile by model_dump.
LABELS = {"profile", "model_dump"}
CACHES = {"data/cache/statistics", "data/cache/baselines"}
"""Named by content, or empty between two calls: whether they are there changes no number."""


def stage_paths(stage: str, key: str) -> list[str]:
    """Paths under `key` of a stage in dvc.yaml, with or without options."""
    entries = DVC["stages"][stage].get(key, [])
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def stage_notebooks(stage: str) -> list[Path]:
    """The notebooks that a stage runs: one, or one for each exhibit of its matrix."""
    found = re.match(r"python -m xmdpt run (\S+)", DVC["stages"][stage]["cmd"])
    if not found:
        return []
    exhibits = DVC["stages"][stage].get("matrix", {}).get("exhibit", [""])
    return [ROOT / found[1].replace("${item.exhibit}", exhibit) for exhibit in exhibits]


def stage_code(stage: str) -> str:
    """The source that a stage's command runs."""
    notebooks = stage_notebooks(stage)
    return "\n".join(map(code_of, notebooks)) if notebooks else "import xmdpt.stages.report"


@cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("xmdpt", exclude_type_checking_imports=True, cache_dir=None)


def imported(source: str) -> set[str]:
    """The modules of the package that Python source imports by name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & import_graph().modules


def reached_rooms(source: str) -> set[str]:
    """The rooms, as paths, whose code Python source can run by importing it."""
    seen, todo = {"xmdpt", WATCHER}, imported(source) - {WATCHER}
    while todo:
        name = todo.pop()
        seen.add(name)
        found = import_graph().find_modules_directly_imported_by(name)
        todo |= (found | {name.rpartition(".")[0]}) - seen
    rooms = {name.split(".")[1] for name in seen - {"xmdpt", WATCHER}}
    folders = {room: (ROOT / "xmdpt" / room).is_dir() for room in rooms}
    return {f"xmdpt/{room}" if folders[room] else f"xmdpt/{room}.py" for room in rooms}


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_depends_on_the_rooms_it_reaches(stage):
    needed = reached_rooms(stage_code(stage))
    named = {path for path in stage_paths(stage, "deps") if path.startswith("xmdpt/")}
    assert sorted(needed - named) == [], "add these to deps in dvc.yaml"
    assert sorted(named - needed) == [], "these are not reached: take them out of deps in dvc.yaml"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_runs_its_notebook_and_keeps_it(stage):
    command = DVC["stages"][stage]["cmd"]
    match = re.match(r"python -m xmdpt run (\S+) --output (\S+)(.*)", command)
    if not match:
        return
    notebook, output, settings = match.groups()
    assert notebook in stage_paths(stage, "deps") and output in stage_paths(stage, "outs")
    assert Path(output).name.startswith(Path(notebook).stem)
    given = set(re.findall(r"--set (\w+)=", settings))
    for path in stage_notebooks(stage):
        assert given == set(declared_parameters(nbformat.read(path, as_version=4))) - {"params"}


def test_every_notebook_of_the_paper_is_a_stage():
    run = {path for stage in DVC["stages"] for path in stage_notebooks(stage)}
    assert run == {*ROOT.glob("notebooks/pipeline/*.ipynb"), *ROOT.glob("notebooks/paper/*.ipynb")}


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_tracks_the_settings_it_uses(stage):
    used = set(re.findall(r"(?<![.\w])config\.(\w+)", stage_code(stage))) - LABELS
    if "released" in used:  # of the runs in `runs`, those whose experiment says so
        used = used - {"released"} | {"experiments", "runs"}
    if "last_checkpoint" in used:
        used = used - {"last_checkpoint"} | {"sample", "train"}
    if "Results(" in stage_code(stage):  # which read settings for whoever asks
        used |= {"runs", "experiments", "seed"}
    if "reports/scores" in stage_paths(stage, "deps"):
        used |= {"evaluate", "train"}
    tracked = {key.split(".")[0] for key in stage_paths(stage, "params")}
    whole = "params.yaml" in stage_paths(stage, "params")
    assert used <= tracked or whole, "add the rest to params in dvc.yaml"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_declares_the_files_it_names(stage):
    kinds = ("deps", "outs", "metrics", "plots")
    stems = [path.stem for path in stage_notebooks(stage)] or [""]
    declared = [
        path.replace("${item.exhibit}", stem)
        for kind in kinds
        for path in stage_paths(stage, kind)
        for stem in stems
    ]
    for path in {*re.findall(r"\b(?:data|models|reports)/[\w/{}.-]+", stage_code(stage))} - CACHES:
        path = path.replace("{run}", "${item.run}")
        around = [d for d in declared if path.startswith(d) or d.startswith(path)]
        assert around, f"{path} is neither in deps nor in outs of {stage}"


@pytest.mark.parametrize(
    ("stage", "config", "same"),
    [("train", TrainConfig, run.SAME_WEIGHTS), ("vae", VAEConfig, vae.SAME_WEIGHTS)],
)
def test_training_runs_anew_for_all_settings_but_those_that_change_no_weight(stage, config, same):
    tracked = {key.removeprefix(f"{stage}.") for key in stage_paths(stage, "params")}
    assert set(config.model_fields) - tracked == same


def test_only_the_page_depends_on_executed_notebooks():
    for stage in DVC["stages"].keys() - {"report"}:
        assert not any(path.startswith("reports/notebooks") for path in stage_paths(stage, "deps"))


def test_what_is_unfinished_is_ignored_by_git_and_by_dvc_alike():
    for name in (".gitignore", ".dvcignore"):
        assert {".*.partial-*", ".*.lock"} <= {*(ROOT / name).read_text().split()}, name


def test_clean_lists_the_data_of_every_profile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = re.search(r"^MADE := (.*?)(?<!\\)\n", makefile, re.S | re.M)
    assert found is not None
    for path in (ROOT / "profiles").glob("*.yaml"):
        root = Path(yaml.safe_load(path.read_text("utf-8"))["data"]["root"])
        assert any(root.is_relative_to(one) for one in found[1].split()), path.stem

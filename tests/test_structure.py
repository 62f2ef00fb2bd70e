"""What holds the house together: floors, the graph's dependencies, clean sources, settings."""

import ast
import json
import re
import types
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from helpers.repository import NOTEBOOKS, PROFILES, ROOT, code_of
from ruamel.yaml import YAML

from xmdpt.config import TrainConfig, VAEConfig, load_config
from xmdpt.stages.notebook import declared_parameters, has_tag

PACKAGE = ROOT / "xmdpt"
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())

FLOORS = {
    **dict.fromkeys(("bootstrap", "config", "diffusion", "files", "image_metrics", "pictures"), 0),
    **dict.fromkeys(("hub", "labels", "precision", "profiles", "random", "tracking"), 0),
    **dict.fromkeys(("data", "encoders", "model", "perceptual"), 1),
    **dict.fromkeys(("convert", "export", "photos", "pipeline", "poses", "sampling"), 2),
    **dict.fromkeys(("evaluation", "paper", "training"), 3),
    **dict.fromkeys(("arguments", "cli", "demo", "lessons", "notebook"), 4),
    **dict.fromkeys(("notebook_pages", "report"), 4),
}
# Modules that cannot change what a stage makes: a stage need not run again for them.
WATCHERS = {"xmdpt/stages/tracking.py"}
# Settings that only label what a stage makes; W&B is told the whole profile by model_dump.
LABELS = {"profile", "model_dump"}


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    named = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def statements(tree: ast.AST):
    """Every node below `tree` but what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def imports(source: str) -> set[str]:
    """The modules of the package that Python source imports by name, at any depth."""
    found = set()
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name in modules()}


def is_code(path: Path) -> bool:
    """Whether a module does more than state what it is about."""
    body = ast.parse(path.read_text()).body
    return any(not isinstance(node, ast.Expr) for node in body)


@cache
def reached(name: str) -> frozenset[str]:
    """Files below the root that importing module `name` can run, the package's own face apart."""
    seen, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name in seen or name == "xmdpt":  # its names are imported on first use
            continue
        seen.add(name)
        todo += [*imports(modules()[name].read_text()), name.rpartition(".")[0]]
    paths = [modules()[name] for name in seen if is_code(modules()[name])]
    return frozenset(path.relative_to(ROOT).as_posix() for path in paths)


# Floors


@pytest.mark.parametrize("name", sorted(set(modules()) - {"xmdpt"}))
def test_a_module_imports_from_its_floor_or_below(name):
    room = name.split(".")[1]
    for imported in imports(modules()[name].read_text()) - {"xmdpt"}:
        other = imported.split(".")[1]
        assert FLOORS[other] <= FLOORS[room], f"{name} imports {imported} from a floor above"
        folders = (PACKAGE / room).is_dir() and (PACKAGE / other).is_dir()
        beside = folders and other != room and FLOORS[other] == FLOORS[room]
        assert not beside, f"{name} imports {imported} from the room beside"


def test_imports_make_no_circle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name in done:
            return
        for imported in imports(modules()[name].read_text()) - {"xmdpt", name}:
            visit(imported, (*path, name))
        done.add(name)

    for name in set(modules()) - {"xmdpt"}:
        visit(name, ())


def test_the_plan_names_every_room():
    plan = (ROOT / "docs/architecture.md").read_text()
    missing = [room for room in {name.split(".")[1] for name in modules() if "." in name}
               if f"`{room}.py`" not in plan and f"`{room}/`" not in plan]  # fmt: skip
    assert not missing, f"docs/architecture.md does not say what {missing} are"


@pytest.mark.parametrize("path", sorted(modules().values()), ids=lambda p: p.stem)
def test_files_are_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= (600 if path.name == "model.py" else 400)


CACHES = {"data/cache/statistics"}  # named by content: whether it is there changes no number

# The graph


def stage_paths(stage: str, key: str) -> list[str]:
    """Paths under `key` of a stage in dvc.yaml, with or without options."""
    entries = DVC["stages"][stage].get(key, [])
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def stage_code(stage: str) -> str:
    """The source that a stage's command runs."""
    command = DVC["stages"][stage]["cmd"]
    if match := re.match(r"python -m xmdpt\.notebook run (\S+)", command):
        return code_of(ROOT / match[1])
    return f"import {command.split()[2]}"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_depends_on_the_modules_it_reaches(stage):
    needed = set().union(*(reached(name) for name in imports(stage_code(stage)))) - WATCHERS
    named = {path for path in stage_paths(stage, "deps") if path.endswith(".py")}
    assert sorted(needed - named) == [], "add these to deps in dvc.yaml"
    assert sorted(named - needed) == [], "these are not reached: take them out of deps in dvc.yaml"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_runs_its_notebook_and_keeps_it(stage):
    command = DVC["stages"][stage]["cmd"]
    match = re.match(r"python -m xmdpt\.notebook run (\S+) --output (\S+)(.*)", command)
    if not match:
        return
    notebook, output, settings = match.groups()
    assert notebook in stage_paths(stage, "deps") and output in stage_paths(stage, "outs")
    assert Path(output).name.startswith(Path(notebook).stem)
    given = set(re.findall(r"--set (\w+)=", settings))
    declared = declared_parameters(nbformat.read(ROOT / notebook, as_version=4))
    assert given == set(declared) - {"params"}


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_tracks_the_settings_it_uses(stage):
    used = set(re.findall(r"(?<![.\w])config\.(\w+)", stage_code(stage))) - LABELS
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
    declared = [path for kind in kinds for path in stage_paths(stage, kind)]
    for path in {*re.findall(r"\b(?:data|models|reports)/[\w/{}.-]+", stage_code(stage))} - CACHES:
        path = path.replace("{run}", "${item.run}")
        around = [d for d in declared if path.startswith(d) or d.startswith(path)]
        assert around, f"{path} is neither in deps nor in outs of {stage}"


@pytest.mark.parametrize(("stage", "config"), [("train", TrainConfig), ("vae", VAEConfig)])
def test_training_runs_anew_for_all_settings_but_those_that_change_no_weight(stage, config):
    tracked = {key.removeprefix(f"{stage}.") for key in stage_paths(stage, "params")}
    assert set(config.model_fields) - tracked == {"gradient_checkpointing", "save_every"}


def test_lab_saves_a_stage_as_it_was_and_leaves_others_alone():
    settings = types.SimpleNamespace(FileContentsManager=types.SimpleNamespace())
    exec((ROOT / "notebooks/lab_config.py").read_text(), {"c": settings})
    save = settings.FileContentsManager.pre_save_hook
    for name in ("notebooks/pipeline/04_train.ipynb", "notebooks/walkthrough/02_diffusion.ipynb"):
        text = (ROOT / name).read_text()
        opened = nbformat.reads(text, as_version=4)
        opened.metadata.language_info = {"name": "python", "version": "3.11.2"}
        cell = next(cell for cell in opened.cells if cell.cell_type == "code")
        cell.metadata.trusted, cell.execution_count = True, 3
        save({"type": "notebook", "content": opened}, path=name, contents_manager=None)
        assert (nbformat.writes(opened) + "\n" == text) == name.startswith("notebooks/pipeline")


def test_only_the_page_depends_on_executed_notebooks():
    for stage in DVC["stages"].keys() - {"report"}:
        assert not any(path.startswith("reports/notebooks") for path in stage_paths(stage, "deps"))


# Notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_clean_source(path):
    text = path.read_text()
    assert len(text.encode()) < 100_000
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec"}
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", id)] == []
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, cell.id
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, f"{cell.id} has outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_one_parameters_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    assert sum(has_tag(cell, "parameters") for cell in cells) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_logic(path):
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 10, f"{node.name} belongs in the package"


# Settings


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

"""The wheel: all that draws is in it, and it draws where there is no repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.commands import xmdpt
from helpers.repository import ROOT
from PIL import Image

WEIGHTS = "data/pretrained/xmdpt-synthetic"


def call_backend(kind: str, tree: Path, out: Path) -> Path:
    """What `python -m build` asks of setuptools, without a network: the file it makes."""
    code = f"import sys; from setuptools import build_meta as b; b.build_{kind}(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=tree, check=True, stdout=subprocess.DEVNULL
    )
    [made] = out.iterdir()
    return made


def tracked(*paths: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Made from the source distribution, which is made from a copy of the repository."""
    work = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        place = work / "clone" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
    for folder in ("source", "wheel"):
        (work / folder).mkdir()
    source = call_backend("sdist", work / "clone", work / "source")
    with tarfile.open(source) as archive:
        archive.extractall(work, filter="data")
    return call_backend("wheel", work / source.name.removesuffix(".tar.gz"), work / "wheel")


@pytest.fixture
def installed(wheel, tmp_path) -> Path:
    """Its files, as pip lays them out."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.slow
def test_it_holds_the_package_and_the_small_weights_and_nothing_else(installed):
    package = set(tracked("xmdpt"))
    weights = {name.replace(WEIGHTS, "xmdpt/weights/bundled"): name for name in tracked(WEIGHTS)}
    found = {
        path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()
    }
    found = {name for name in found if ".dist-info/" not in name}
    assert found == package | set(weights)
    for place, name in weights.items():
        assert (installed / place).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.slow
def test_it_draws_in_an_empty_folder_without_the_repository(installed, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("person.png", "pose.txt"):
        shutil.copy(ROOT / "docs/pictures" / name, empty)

    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=empty, env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "from xmdpt.weights.load import BUNDLED; import xmdpt; print(xmdpt.__file__, BUNDLED)"
    assert all(Path(one).is_relative_to(installed) for one in call("-c", where).split())
    words = "--source person.png --pose pose.txt --pose-units annotation --steps 2 --out x.png"
    assert call("-m", "xmdpt", "generate", *words.split()) == "wrote x.png\n"
    with Image.open(empty / "x.png") as drawn:
        assert drawn.size == (128, 188)
    told = call("-m", "xmdpt", "info")
    assert "small weights, for rendered people" in told.partition("missing (how")[0]


OF_A_CLONE = [
    "profile", "profile smoke", "train", "train base_b --out x", "stage features --shard 0/1",
    "stage sample base_b --shard 0/1", "report", "report bundle", "report publish", "study",
    "study run", "study report", "export x --run base_b",
]  # fmt: skip


@pytest.mark.parametrize("words", OF_A_CLONE)
def test_what_needs_a_clone_says_so_in_one_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert xmdpt(monkeypatch, *words.split()) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "clone" in line
    assert list(tmp_path.iterdir()) == []

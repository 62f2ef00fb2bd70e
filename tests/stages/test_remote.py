"""What one clone pushes another pulls, and computes nothing; readers pull by HTTP."""

import functools
import http.server
import subprocess
import threading
from pathlib import Path

import pytest
from helpers.miniature import copy_project, dvc
from helpers.repository import ROOT

STAGE = "released"  # the cheapest that runs a notebook and makes a folder


def git(project: Path, *words: str) -> None:
    name = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *name, *words], cwd=project, check=True, capture_output=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A clone that has made the stage and pushed it to a folder, and that folder."""
    root = tmp_path_factory.mktemp("store")
    first, remote = root / "first", root / "remote"
    copy_project(first)
    (first / "params.yaml").write_bytes((ROOT / "profiles/smoke.yaml").read_bytes())
    for words in (
        ("remote", "add", "--default", "store", str(remote)),
        ("repro", STAGE),
        ("push", STAGE),
    ):
        done = dvc(first, root, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    git(first, "add", "--all")
    git(first, "commit", "--message", "made")
    return first, remote


@pytest.fixture
def address(store):
    """The folder, served read-only."""
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=store[1])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["folder", "http"])
def test_another_clone_pulls_and_computes_nothing(store, address, tmp_path, by):
    second = tmp_path / "second"
    git(tmp_path, "clone", "--quiet", str(store[0]), str(second))
    if by == "http":
        assert dvc(second, tmp_path, "remote", "add", "public", address).returncode == 0
    pulled = dvc(second, tmp_path, "pull", *(["--remote", "public"] * (by == "http")), STAGE)
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    made = Path("models/released/README.md")
    assert (second / made).read_bytes() == (store[0] / made).read_bytes()
    again = dvc(second, tmp_path, "repro", STAGE)
    assert "Stage 'released' didn't change, skipping" in again.stdout, again.stdout + again.stderr

"""Which commit runs: the last one that changed something, whatever was committed since."""

import subprocess

import pytest

from xmdpt.support.git import commit_of


@pytest.fixture
def git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        who = ("-c", "user.name=A", "-c", "user.email=a@b")
        done = subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "-q")
    return run


def test_the_commit_of_a_folder_stays_where_others_change(git, tmp_path, monkeypatch):
    for name in ("code", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("1")
        git("add", ".")
        git("commit", "-qm", name)
    code, head = git("rev-parse", "HEAD~1"), git("rev-parse", "HEAD")
    assert (commit_of("code"), commit_of("results"), commit_of()) == (code, head, head)
    (tmp_path / "results/file").write_text("2")
    assert (commit_of("code"), commit_of()) == (code, f"{head}-dirty")
    (tmp_path / "code/file").write_text("2")
    assert commit_of("code") == f"{code}-dirty"
    monkeypatch.chdir(tmp_path.parent)
    assert commit_of("code", folder=tmp_path) == f"{code}-dirty", "wherever it is asked"


def test_without_a_repository_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert commit_of() == commit_of("code") == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of() == "unknown"

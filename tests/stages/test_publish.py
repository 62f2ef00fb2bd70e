"""A report is written first, read back by the library's own models, and sent from its file."""

import json
import re
import sys

import pytest
from helpers.commands import xmdpt
from helpers.wandb_server import KEY, ME, wandb_server

wr = pytest.importorskip("wandb_workspaces.reports.v2")

from xmdpt.stages.publish import FOLDER, PUBLISHED, read_blocks  # noqa: E402

FILE = FOLDER / "report.json"


def as_sent(model) -> dict:
    return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))


@pytest.fixture
def server(reproduced, monkeypatch):
    """W&B's server as far as it is needed, with an account."""
    with wandb_server() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running


def test_without_login_it_leaves_a_file_and_a_page(reproduced, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report", "publish") == 0
    said = capsys.readouterr()
    assert "`wandb login`" in said.out and f"xmdpt report publish --from {FILE}" in said.out
    assert said.err == "" and not (reproduced / FOLDER / PUBLISHED).exists()
    content = json.loads(FILE.read_text())
    model = wr.internal.ReportViewspec.model_validate(content)
    kinds = {type(block).__name__ for block in model.spec.blocks}
    assert {"Heading", "MarkdownBlock", "PanelGrid", "TableOfContents", "Paragraph"} == kinds
    assert model.display_name == "X-MDPT, reproduced: synthetic"
    assert as_sent(read_blocks(FILE)._to_model()) == content, "nothing is lost on the way"
    page = FILE.with_suffix(".html").read_text()
    assert '<img src="data:image/png;base64,' in page and "<strong>supported:</strong>" in page
    assert "Live in W&amp;B, training: Table 2(a). Parts: loss, mse" in page
    assert not re.search(r"(src|href)=\"?(https?:)?//|url\(|<script", page)


def test_the_same_run_is_the_same_file(reproduced, monkeypatch):
    for out in ("a/one.json", "two.json"):
        assert xmdpt(monkeypatch, "report", "publish", "--out", out) == 0
    files = [reproduced / name for name in ("a/one.json", "a/one.html", "two.json", "two.html")]
    one, page, two, other = (path.read_bytes() for path in files)
    assert (one, page) == (two, other)


def test_publishing_again_changes_the_same_report(server, monkeypatch, capsys):
    for options in ((), ("--draft",)):
        assert xmdpt(monkeypatch, "report", "publish", *options) == 0
        assert f"sent {server.url}/{ME}/xmdpt/reports/" in capsys.readouterr().out
    ((number, sent),) = server.views.items()
    assert sent["id"] == number and sent["type"] == "runs/draft"
    spec = json.loads(sent["spec"])
    grids = [block for block in spec["blocks"] if block["type"] == "panel-grid"]
    projects = {grid["metadata"]["runSets"][0]["project"]["entityName"] for grid in grids}
    assert grids and projects == {ME}
    title = "My own"
    assert xmdpt(monkeypatch, "report", "publish", "--title", title) == 0
    assert [view["displayName"] for view in server.views.values()][1:] == [title]
    ids = json.loads((FOLDER / PUBLISHED).read_text())
    assert {*ids.values()} == {*server.views} and all(server.url in name for name in ids)
    assert KEY not in "".join(path.read_text() for path in FOLDER.iterdir())


def test_a_file_is_sent_later(server, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert xmdpt(monkeypatch, "report", "publish", "--title", "Later") == 0
    assert "not sent (WANDB_MODE=offline)" in capsys.readouterr().out and server.views == {}
    monkeypatch.delenv("WANDB_MODE")
    before = FILE.read_bytes()
    assert xmdpt(monkeypatch, "report", "publish", "--from", str(FILE)) == 0
    (sent,) = server.views.values()
    assert sent["displayName"] == "Later" and FILE.read_bytes() == before


def test_a_server_that_refuses_costs_nothing(server, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report", "publish", "--project", "nowhere") == 0
    said = capsys.readouterr().out
    assert "not sent (" in said and "nowhere' not found" in said and FILE.is_file()
    assert server.views == {}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--from", "nowhere.json"), "nowhere.json: no such file; `xmdpt report publish` writes"),
        (("--from", "params.yaml"), "params.yaml: not a W&B report; wanted the JSON"),
        (("--from", "empty.json"), "empty.json: not a W&B report"),
        (("--from", "empty.json", "--out", "x.json"), "--out and --from: name one"),
        (("--out", "report.txt"), "--out report.txt: must end in .json"),
        (("--out", "empty.json/report.json"), "not a writable folder"),
        (("--title", "x" * 129), "--title: 129 characters; W&B takes 1 to 128"),
        (("--title", ""), "--title: 0 characters"),
    ],
)
def test_what_cannot_be_used_is_one_line(reproduced, monkeypatch, capsys, options, complaint):
    (reproduced / "empty.json").write_text("{}")
    before = sorted(reproduced.rglob("*"))
    assert xmdpt(monkeypatch, "report", "publish", *options) == 2
    said = capsys.readouterr()
    assert said.out == "" and complaint in said.err and said.err.count("\n") == 1
    assert sorted(reproduced.rglob("*")) == before


def test_a_broken_block_is_refused(reproduced, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report", "publish") == 0
    content = json.loads(FILE.read_text())
    heading = next(one for one in content["spec"]["blocks"] if one["type"] == "heading")
    heading["level"] = "first"
    FILE.write_text(json.dumps(content))
    capsys.readouterr()
    assert xmdpt(monkeypatch, "report", "publish", "--from", str(FILE)) == 2
    assert "not a W&B report" in capsys.readouterr().err


def test_before_any_exhibit_it_says_what_to_run(reproduced, monkeypatch, capsys):
    (reproduced / "reports/exhibits").rename(reproduced / "aside")
    assert xmdpt(monkeypatch, "report", "publish") == 2
    assert "`make repro`" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["wandb_workspaces", "wandb"])
def test_without_the_extra_it_says_how_to_get_it(reproduced, monkeypatch, capsys, missing):
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb_workspaces"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert xmdpt(monkeypatch, "report", "publish") == 2
    assert "pip install wandb-workspaces" in capsys.readouterr().err

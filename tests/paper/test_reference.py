"""A finished run kept for readers, and the table of results made from it."""

import shutil

import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from helpers.repository import ROOT
from matplotlib.figure import Figure
from PIL import Image

from xmdpt.config import ConfigError
from xmdpt.paper.exhibits import EXHIBITS, Claim, Exhibit, write_exhibit
from xmdpt.paper.reference import (
    BEGIN,
    END,
    RESULTS,
    check_made,
    keep_reference,
    kept_table,
    read_kept,
    update_results,
)


@pytest.fixture
def made(tmp_path):
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/smoke.yaml").read_text())
    for name in EXHIBITS:
        claims = (
            Claim(f"{name} is so", "cannot tell", "0 (-1 to 1)"),
            Claim(f"{name} is better", "supported", "study: 1; this run: 2", live="2"),
        )
        frame, figure = pd.DataFrame({"method": [name], "FID": ["1.0"]}), Figure(figsize=(20, 1))
        write_exhibit(
            Exhibit(name, f"{name}.", "A caption.", "On nothing.", {name: frame}, {name: figure},
                    claims if name == "table_1" else ()),
            tmp_path,
        )  # fmt: skip
    return tmp_path


def test_the_page_has_every_exhibit_in_order_and_its_files(made):
    page = keep_reference(made, "Somewhere, a minute.")
    text = page.read_text()
    assert "Profile `smoke`, seed 0. Somewhere, a minute." in text
    assert "trained each model once" in text
    headings = [line[3:-1] for line in text.splitlines() if line.startswith("## ")]
    assert headings == list(EXHIBITS)
    assert "| [table_1 is so](#table-1) | cannot tell | 0 (-1 to 1) |" in text
    assert "| [table_1 is better](#table-1) | [the study](../study/README.md) | 2 |" in text
    assert 'id="table-1"' in text and "| table_1  | 1.0   |" in text
    for name in EXHIBITS:
        assert f"![{name}.]({name}.jpg)" in text
        assert max(Image.open(page.with_name(f"{name}.jpg")).size) <= 1400
        assert page.with_name(f"{name}.csv").is_file()
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    keep_reference(made, "Somewhere, a minute.")
    assert before == {path.name: path.read_bytes() for path in page.parent.iterdir()}


def test_the_numbers_of_its_runs_are_kept(made):
    for folder in ("scores", "metrics"):
        (made / "reports" / folder).mkdir()
    (made / "reports/scores/base_b.json").write_text("{}")
    pairs = "row\tsource\tssim\nablation\t0001\t0.5\n"
    (made / "reports/scores/base_b.tsv").write_text(pairs)
    (made / "reports/metrics/train_base_b.tsv").write_text("step\tloss\n")
    folder = keep_reference(made, "").parent
    assert (folder / "scores_base_b.json").read_text() == "{}"
    assert (folder / "scores_base_b.tsv").read_text() == pairs
    assert (folder / "train_base_b.tsv").is_file()
    assert not [*folder.glob("*no_mask*")]


def test_a_run_that_is_not_finished_is_not_kept(made):
    shutil.rmtree(made / "reports/exhibits/figure_9")
    with pytest.raises(ConfigError, match="figure_9 not made yet"):
        keep_reference(made, "")
    assert not (made / "reports/reference").exists()


def test_a_part_of_the_graph_is_kept_by_name(made):
    shutil.rmtree(made / "reports/exhibits/figure_9")
    page = keep_reference(made, "", ["table_2a", "figure_8"])
    assert page == made / "reports/reference/smoke/README.md"
    assert [one["name"] for one in read_kept(made)["smoke"]] == ["table_2a", "figure_8"]
    assert "## table_2a." in page.read_text() and "## table_1." not in page.read_text()


def test_only_what_lies_between_the_marks_changes(tmp_path):
    readme = tmp_path / "README.md"
    table = {"name": "table_1", "title": "Table 1. Main", "claims": [{"status": "supported"}] * 2}
    table["claims"].append({"status": "not supported", "live": "1 and 2"})  # the study's
    figure = {"name": "figure_3", "title": "Figure 3", "claims": []}
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update_results(readme, {"one": [table, figure], "another": [table | {"claims": []}]})
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    link = "(../../reports/reference/{}/README.md#{})"
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "| of the paper | `another` | `one` |",
        "|---|---|---|",
        f"| Table 1. Main | [shown]{link.format('another', 'table-1')} |"
        f" [2 supported]{link.format('one', 'table-1')} |",
        f"| Figure 3 |  | [shown]{link.format('one', 'figure-3')} |",
    ]
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="once each"):
        update_results(readme, {})
    assert readme.read_text() == "no marks"


def test_the_table_is_of_the_runs_that_are_kept():
    kept = read_kept(ROOT)
    names = [exhibit["name"] for exhibit in kept["synthetic"]]
    assert names == [name for name in EXHIBITS if name in names] and len(names) >= 21
    assert f"{BEGIN}\n{kept_table(kept)}\n{END}" in (ROOT / RESULTS).read_text()


def test_exhibits_of_other_settings_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    stage = {"cmd": "echo > ${item}", "params": ["seed"], "outs": ["${item}"]}
    stages = {
        "table_2": {"foreach": ["a"], "do": stage},
        "figure_8": {"cmd": "echo > b", "params": ["seed"], "outs": ["b"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    with Repo.init(no_scm=True) as repo:
        repo.reproduce()
    check_made(["table_2a", "figure_8"])
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"^figure_8 table_2@a: not made with these settings"):
        check_made(["table_2a", "figure_8"])

"""The exhibits as a run of W&B: every table and every figure, under its own name."""

import json

import pytest
from helpers.commands import xmdpt
from helpers.wandb_runs import folders, read_run

from xmdpt.config import load_config
from xmdpt.stages.exhibit_log import exhibits_run, log_exhibits


def test_the_page_is_written_and_the_exhibits_are_logged(reproduced, monkeypatch, capsys):
    assert xmdpt(monkeypatch, "report") == 0
    assert capsys.readouterr().out == "wrote reports/index.html\n"
    (folder,) = folders(reproduced)
    run = read_run(folder)
    assert run.about["run_id"] == exhibits_run(load_config())
    assert run.about["job_type"] == "report"
    assert {"dvc.lock sha256", "params.yaml sha256", "git_sha"} <= run.config.keys()
    assert run.summary["claims/supported"] == 1
    logged = {key for row in run.history for key in row}
    assert {"figure_6/figure_6.height", "table_2a/table_2a.nrows", "exhibits.nrows"} <= logged
    tables = [path for path in run.files if path.endswith(".table.json")]
    content = {}
    for path in tables:
        content |= {
            path.rpartition("/")[2].split("_")[0]: json.loads((folder / "files" / path).read_text())
        }
    assert content["exhibits"]["columns"] == ["exhibit", "claims", "figure", "computed on"]
    assert [row[0] for row in content["exhibits"]["data"]] == [
        "Table 2(a). Parts",
        "Figure 6. Scale",
    ]
    (drawn,) = [path for path in run.files if "media/images/figure_6" in path]
    made = reproduced / "reports/exhibits/figure_6/figure_6.png"
    assert (folder / "files" / drawn).stat().st_size > 0 and made.is_file()


def test_nothing_is_logged_before_an_exhibit_is_made(no_account, reproduced, tmp_path):
    config = load_config()
    log_exhibits(config, tmp_path / "elsewhere")
    assert folders(reproduced) == []


@pytest.mark.parametrize("words", [("report",), ("report", "publish")])
def test_a_word_that_is_no_mode_is_one_line(reproduced, monkeypatch, capsys, words):
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    before = sorted(reproduced.rglob("*"))
    assert xmdpt(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err == (
        "error: WANDB_MODE=nonsense: write online, offline or disabled\n"
    )
    assert sorted(reproduced.rglob("*")) == before

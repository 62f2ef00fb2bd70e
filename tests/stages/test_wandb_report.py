"""The blocks of the W&B report: what is on disk, and panels on just the runs that belong there."""

import json

import pytest

wr = pytest.importorskip("wandb_workspaces.reports.v2")

from xmdpt.config import load_config  # noqa: E402
from xmdpt.paper.exhibits import HOW_TO_READ  # noqa: E402
from xmdpt.stages.exhibit_log import exhibits_run  # noqa: E402
from xmdpt.stages.tracking import run_id  # noqa: E402
from xmdpt.stages.wandb_report import build_blocks, read_reproduction  # noqa: E402
from xmdpt.study.beside import read_verdicts  # noqa: E402
from xmdpt.support.files import file_digest  # noqa: E402

DECIDED = {"claim": "MIPNet | helps", "where": "Table 2(a)", "paper": "+5.7 %", "gain": "+4 %"}
DECIDED |= {"status": "supported", "verdict": "supported, by Holm"}


def text_of(blocks) -> str:
    kinds = (wr.MarkdownBlock, wr.H1, wr.H2)
    return "\n".join(block.text for block in blocks if isinstance(block, kinds))


def grids(blocks) -> dict:
    """Name of the run set -> (ids of its runs, what its panels show)."""
    found = {}
    for grid in (block for block in blocks if isinstance(block, wr.PanelGrid)):
        (runs,) = grid.runsets
        (condition,) = runs._to_model().filters["filters"]
        assert (condition["key"], condition["op"]) == ({"section": "run", "name": "name"}, "IN")
        assert (runs.entity, runs.project) == ("", ""), "the report's own project"
        drawn = [panel for panel in grid.panels if not isinstance(panel, wr.ScatterPlot)]
        shown = [getattr(panel, "y", None) or panel.media_keys for panel in drawn]
        found[runs.name] = (condition["value"], [key for keys in shown for key in keys])
    return found


def before_the_study():
    """The study's lines, as they are before any row is trained."""
    nothing = {"status": "not run", "verdict": "not run", "gain": "", "better, worse": ""}
    return {name: line | nothing for name, line in read_verdicts().items()}


def test_it_says_what_is_on_disk(reproduced):
    verdicts = before_the_study()
    blocks = build_blocks(read_reproduction(verdicts | {"made_up": DECIDED}))
    text = text_of(blocks)
    assert (
        f"Of {len(verdicts) + 1} claims of the study: 1 supported, {len(verdicts)} not run" in text
    )
    assert "| MIPNet \\| helps | Table 2(a) | +5.7 % | +4 % | supported, by Holm |" in text
    assert HOW_TO_READ in text
    for said in ("Table 2(a). Parts", "As printed.", "*On people.*", "Figure 6. Scale"):
        assert said in text, said
    claim = "* **supported:** MIPNet beats it (Table 2(a)). study: 1 | 2; this run: gain +0.1"
    assert claim in text
    for path in ("params.yaml", "dvc.lock"):
        assert f"| `{path}` (SHA-256) | {file_digest(path)} |" in text
    assert "| commit | unknown |" in text, "there is no repository here"
    assert "rendered people, not DeepFashion" in text


def test_before_the_study_it_says_so(reproduced):
    text = text_of(build_blocks(read_reproduction(before_the_study())))
    assert "33 not run" in text and "has not decided any claim yet" in text


def test_panels_show_just_the_runs_of_their_table(reproduced):
    found = grids(build_blocks(read_reproduction(read_verdicts())))
    runs = {run: load_config("params.yaml", run).model_dump() for run in load_config().runs}
    table = [run for run in load_config().runs if run in ("base_b", "no_mask", "mdt")]
    assert len(table) == 3
    ids, losses = found["training: Table 2(a). Parts"]
    assert ids == [run_id("train", run, runs[run]) for run in table]
    assert losses == ["loss", "mse", "masked_mse", "fixed_mse", "grad_norm"]
    ids, scores = found["scores: Table 2(a). Parts"]
    assert ids == [run_id("evaluate", run, runs[run]) for run in table]
    assert scores == ["score/st_lpips", "score/ssim"]
    assert len(found["training: all runs"][0]) == len(runs)
    assert found["pictures: all runs"][1] == ["grid"]
    assert found["figures: figure_6"] == ([exhibits_run(load_config())], ["figure_6/figure_6"])
    assert not [name for name in found if "Figure 6" in name], "no table's runs belong to it"


def test_curves_are_grouped_by_row_against_samples(reproduced):
    blocks = build_blocks(read_reproduction(read_verdicts()))
    plots = [p for b in blocks if isinstance(b, wr.PanelGrid) for p in b.panels]
    lines = [plot for plot in plots if isinstance(plot, wr.LinePlot)]
    assert {plot.groupby for plot in lines} == {wr.Config("row")}
    assert {str(plot.x) for plot in lines} == {"Step", "score/samples"}


def test_each_score_stands_against_the_size_of_its_run(reproduced):
    grids = [b for b in build_blocks(read_reproduction(read_verdicts())) if hasattr(b, "panels")]
    (panels,) = [one.panels for one in grids if one.runsets[0].name == "scores: all runs"]
    drawn = [panel for panel in panels if isinstance(panel, wr.ScatterPlot)]
    axes = [(json.loads(one._to_model().model_dump_json(by_alias=True)))["config"] for one in drawn]
    assert {one["xAxis"] for one in axes} == {"summary:parameters"}
    assert [one["yAxis"] for one in axes] == ["summary:score/st_lpips", "summary:score/ssim"]


def test_the_same_findings_are_the_same_blocks_without_login(reproduced):
    def dumped():
        blocks = build_blocks(read_reproduction(read_verdicts()))
        models = [block._to_model() for block in blocks]
        return [model.model_dump_json(by_alias=True, exclude_none=True) for model in models]

    first = dumped()
    assert dumped() == first
    (reproduced / "reports/scores/no_mask.json").write_text(json.dumps({"ablation": {"ssim": 1}}))
    assert dumped() != first

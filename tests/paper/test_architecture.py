"""What live models say of themselves: Table 4 and the drawing of the architecture."""

import pytest

from xmdpt.paper.architecture import (
    architecture_figure,
    configuration_counts,
    configuration_table,
    live_model,
    part_counts,
    part_table,
    sizes_figure,
    trace_shapes,
)


def test_parts_add_up_to_what_is_trained():
    counts = {size: sum(part_counts(live_model(size)).values()) / 1e6 for size in "SBL"}
    assert counts == pytest.approx({"S": 39.12, "B": 153.73, "L": 498.95}, abs=0.006)
    assert part_table().set_index("part").loc["all, at inference"].tolist() == [
        "33.79", "132.45", "461.13",
    ]  # fmt: skip


def test_configurations_are_the_papers_but_for_x_mdpts_sum():
    assert configuration_counts("B")["X-MDPT"] == 132_450_661
    off = configuration_table().set_index("method")["difference in %"].astype(float)
    assert len(off) == 9
    assert off[["DiT-S", "DiT-B", "DiT-L"]].abs().max() < 0.12
    assert off[["MDT-S", "MDT-B", "MDT-L"]].abs().max() < 0.12
    assert off[["X-MDPT-S", "X-MDPT-B", "X-MDPT-L"]].between(0.1, 0.9).all()


def test_shapes_are_those_of_a_masked_pass():
    shapes = trace_shapes(live_model("S"))
    assert shapes["patch_embed"] == shapes["mipnet.blocks.cross"] == (256, 384)
    assert shapes["kept"] == (179, 384)
    assert shapes["canet.source_projection"] == (257, 384)
    assert shapes["canet.join"] == shapes["time_embedding"] == (384,)
    assert (shapes["latent"], shapes["output"]) == ((4, 32, 32), (8, 32, 32))


def test_the_architecture_shows_the_live_models_numbers():
    figure = architecture_figure("S")
    text = " ".join(label.get_text() for label in figure.axes[0].texts)
    assert "39.12 M parameters to train, 33.79 M at inference" in text
    assert "10 encoder blocks" in text and "179 × 384" in text
    assert sum(len(axes.patches) for axes in sizes_figure().axes) == 3 * 6

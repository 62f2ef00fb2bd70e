"""Tables and figures of costs: arithmetic of ratios, columns, claims."""

import pytest

from xmdpt.costs.claims import efficiency_claims, speed_claims, training_claims
from xmdpt.costs.tables import (
    efficiency_figure,
    efficiency_table,
    inference_seconds,
    once_table,
    provenance,
    speed_table,
    time_ratio,
    training_table,
)
from xmdpt.paper.exhibits import Exhibit, write_exhibit

ALL = ("x_mdpt_s", "x_mdpt_b", "x_mdpt_l", "pixel_unet", "latent_unet", "vae")


def network(seconds, parameters=10e6, passes=2, memory=1000.0, once=("vae",)):
    guided = passes > 1
    return {
        "title": "a network",
        "guidance": {2: "CFG", 3: "D-CFG"}.get(passes),
        "forwards": 50 * passes if guided else 1,
        "once": list(once) if guided else [],
        "parameters": parameters,
        "flops": 1e9,
        "memory_mb": memory,
        "seconds": seconds,
    }


def measured(*names, device="cpu", machine="a machine", batch=1):
    """Two rounds, by default at batch 1; every second of the second round is slower."""
    networks = {
        "x_mdpt_s": network([0.1, 0.2], 34e6, memory=500.0),
        "x_mdpt_b": network([0.2, 0.4], 132e6),
        "x_mdpt_l": network([0.5, 0.6], 461e6),
        "pixel_unet": network([1.0, 1.6], 688e6, 3, 9000.0, once=()),
        "latent_unet": network([0.4, 0.6], 400e6, 3),
        "vae": network([5.0, 10.0], 84e6, 1),
    }
    training = {
        "x_mdpt_s": {"parameters": 39e6, "flops": 1e9, "seconds": [0.5, 1.0]},
        "x_mdpt_b": {"parameters": 154e6, "flops": 4e9, "seconds": [1.0, 3.0]},
        "x_mdpt_l": {"parameters": 499e6, "flops": 12e9, "seconds": [4.0, 8.0]},
    }
    settings = {"steps": 50, "pictures": 8, "batch_size": 1, "repeats": 2}
    settings["train_batch_size"] = batch
    settings["memory_pictures"] = 1 if device == "cuda" else 8
    return {
        "machine": {"device": device, "name": machine, "threads": 2, "precision": "fp32",
                    "torch": "2"},
        "settings": settings,
        "networks": {name: networks[name] for name in names},
        "training": {name: training[name] for name in names if name in training},
    }  # fmt: skip


# Ratios


def test_a_step_is_scaled_to_eight_pictures_and_fifty_steps():
    costs = measured(*ALL)
    assert inference_seconds(costs, "x_mdpt_s") == pytest.approx([40, 80])
    # The VAE runs once a picture, whatever the steps.
    assert inference_seconds(costs, "x_mdpt_s", whole=True) == pytest.approx([80, 160])
    assert inference_seconds(costs, "pixel_unet", whole=True) == pytest.approx([400, 640])
    assert inference_seconds(measured("x_mdpt_s"), "x_mdpt_s", whole=True) is None


def test_ratios_are_taken_round_by_round():
    ratio = time_ratio(measured(*ALL), "pixel_unet", "x_mdpt_s")
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((9, 8, 10))
    assert str(ratio) == "9 (8 to 10)"
    assert str(ratio) == "9 (8 to 10)"
    whole = time_ratio(measured(*ALL), "pixel_unet", "x_mdpt_s", whole=True)
    assert (whole.low, whole.high) == pytest.approx((4, 5))
    assert time_ratio(measured("x_mdpt_s"), "pixel_unet", "x_mdpt_s") is None


# Tables


def test_speed_stands_beside_the_papers():
    table = speed_table(measured(*ALL)).set_index("method")
    assert table.index[0] == "PIDM (here: pixel U-Net of that size)"
    row = table.loc["X-MDPT-S"]
    assert (str(row["speed-up, paper"]), row["speed-up, here"]) == ("14.25", "9 (8 to 10)")
    assert row["speed-up, all of an inference"] == "4.5 (4 to 5)"
    assert (str(row["FID, paper"]), row["M parameters, here"]) == ("7.42", "34.00")
    assert row["operations saved"] == "1.5"  # 150 forwards against 100, of equal operations


def test_efficiency_has_the_papers_columns():
    table = efficiency_table(measured(*ALL)).set_index("method")
    row = table.loc["PoCoLD (here: latent U-Net of that size)"]
    assert row["s, paper (A100)"] == "3.215 ± 0.028"
    assert (row["MB, paper"], row["MB of the denoiser, here"]) == (5686, "1000")
    # With the VAE's 84 M parameters at hand; the VAE's own working memory is the larger.
    weights = 4 * (400e6 + 84e6) / 2**20
    assert row["MB of all of an inference, here"] == f"{1000 + weights - 4 * 84e6 / 2**20:.0f}"
    assert (row["guidance"], row["forwards, paper"], row["forwards, here"]) == ("D-CFG", 150, "150")
    assert row["time / S, paper"] == "2.70" and row["time / S, here"] == "3.5 (3 to 4)"
    assert row["TFLOP, here"] == "1.2"


def test_seconds_of_a_cpu_are_in_no_table():
    for costs, shown in ((measured(*ALL), False), (measured(*ALL, device="cuda", batch=32), True)):
        for table in (speed_table(costs), efficiency_table(costs)):
            assert ("s, here" in table.columns) == shown
        assert ("days of 800k, here" in training_table(costs).columns) == shown


def test_what_runs_once_is_a_share_of_the_steps():
    table = once_table(measured(*ALL))
    assert table["% of X-MDPT-S's steps"].tolist() == ["100.0"]
    assert once_table(measured("x_mdpt_s")).empty


def test_days_are_projected_at_the_papers_batch():
    table = training_table(measured(*ALL, device="cuda", batch=64)).set_index("method")
    row = table.loc["X-MDPT-L"]
    assert str(row["days of 800k, paper"]) == "15.7" and row["steps/s, paper"] == "0.59"
    assert float(row["days of 800k, here"]) == pytest.approx(3 * 800_000 / 86_400, abs=0.1)
    assert float(row["steps/s, here"]) == pytest.approx(1 / 3, rel=0.01)
    assert row["time of a step / S"] == "8"
    # The optimizer's update, a part of a step on a GPU, does not grow with the batch.
    short = training_table(measured(*ALL, device="cuda", batch=1))
    assert not [column for column in short if column.endswith("here")]


def test_tables_and_figure_of_the_smallest_model_alone_are_written(tmp_path):
    costs = measured("x_mdpt_s")
    tables = {
        "table_3": efficiency_table(costs),
        "table_3_speed": speed_table(costs),
        "table_3_training": training_table(costs),
        "table_3_once": once_table(costs),
    }
    figures = {"table_3_bubbles": efficiency_figure(costs)}
    write_exhibit(
        Exhibit("table_3", "Table 3.", "", provenance(costs), tables=tables, figures=figures),
        tmp_path,
    )
    assert (tmp_path / "reports/exhibits/table_3/table_3.csv").is_file()


# Claims


def test_claims_follow_the_numbers():
    speed, efficiency = speed_claims(measured(*ALL)), efficiency_claims(measured(*ALL))
    assert [claim.status for claim in speed] == ["supported"] * 3
    assert "4.5 (4 to 5)" in speed[0].evidence
    # The latent U-Net takes 0.4 and 0.6 of a second, L takes 0.5 and 0.6.
    assert [claim.status for claim in efficiency] == ["cannot tell", "supported"]
    assert "9,000 MB of the stand-in" in efficiency[1].evidence
    assert "(1,000 MB of the denoiser alone), for 8 pictures at once" in efficiency[1].evidence
    slower = measured(*ALL)
    slower["networks"]["x_mdpt_l"]["seconds"] = [2.0, 3.0]
    assert speed_claims(slower)[2].status == "not supported"


def test_what_was_not_measured_is_not_run():
    costs = measured("x_mdpt_s")
    claims = (*speed_claims(costs), *efficiency_claims(costs), *training_claims(costs))
    assert {claim.status for claim in claims} == {"not run"}
    alone = efficiency_claims(measured("pixel_unet", "x_mdpt_l"))[1]
    assert alone.status == "cannot tell", "without the VAE it is not all of an inference"
    alone = speed_claims(measured("pixel_unet", "x_mdpt_l"))[2]
    assert alone.status == "cannot tell" and "was not measured" in alone.evidence


def test_memory_is_of_as_many_pictures_as_it_was_measured_with():
    counted, peak = measured(*ALL), measured(*ALL, device="cuda")
    assert "tensors alive at once, for 8 pictures at once." in provenance(counted)
    assert "peak of PyTorch's allocator, for 1 picture." in provenance(peak)
    once = {"settings": peak["settings"] | {"repeats": 1, "batch_size": 1}}
    assert "once. One guided step of 1 picture was" in provenance(peak | once)
    label = efficiency_figure(peak).axes[1].get_ylabel()
    assert label == "denoiser's memory in MB, 1 picture"
    assert efficiency_claims(peak)[1].evidence.endswith("for 1 picture")
    assert efficiency_claims(peak)[1].status == "cannot tell", "the paper's is of 8"


@pytest.mark.parametrize(
    ("device", "machine", "batch", "status"),
    [
        ("cpu", "", 32, "cannot tell"),
        ("cuda", "H200", 32, "cannot tell"),
        ("cuda", "A100", 1, "cannot tell"),
        ("cuda", "A100", 32, "not supported"),
    ],
)
def test_days_are_only_told_on_the_papers_gpu_at_its_batch(device, machine, batch, status):
    costs = measured("x_mdpt_l", device=device, machine=machine, batch=batch)
    assert training_claims(costs)[0].status == status

"""The paper's claims on time and memory, and whether our measurements bear them out."""

from xmdpt.costs.tables import (
    NETWORK_OF,
    PAPER_BATCH,
    Costs,
    inference_memory,
    on_gpu,
    pictures_at_once,
    time_ratio,
    training_days,
)
from xmdpt.paper.exhibits import Claim, Status
from xmdpt.paper.published import costs


def _faster(measured: Costs, text: str, above: str, below: str) -> Claim:
    """Whether a whole inference takes less time with `below` than with `above`."""
    whole = time_ratio(measured, above, below, whole=True)
    steps = time_ratio(measured, above, below)
    if steps is None:
        return Claim(text, "not run", "one of the two networks was not measured")
    evidence = f"denoising takes the stand-in {steps} times as long"
    if whole is None:
        evidence += ", but what an inference runs beside it was not measured"
        return Claim(text, "cannot tell", evidence)
    supported, refuted = whole.low > 1, whole.high < 1  # in every round
    status: Status = "supported" if supported else "not supported" if refuted else "cannot tell"
    evidence += f", a whole inference with VAE and DINOv2 {whole} times"
    return Claim(text, status, evidence)


def speed_claims(measured: Costs) -> tuple[Claim, ...]:
    """Table 2(f): speed, compared with the network that stands in for PIDM."""
    return tuple(
        _faster(
            measured,
            f"{cost.method} draws faster than PIDM ({cost.speed_up} times in the paper)",
            "pixel_unet",
            NETWORK_OF[cost.method],
        )
        for cost in costs()
        if cost.table == "2f" and cost.speed_up is not None
    )


def _leaner(measured: Costs) -> Claim:
    """Whether a whole inference needs less memory with L than with PIDM's stand-in."""
    text = "X-MDPT-L needs less memory than PIDM (6438 MB against 9572 MB in the paper)"
    if not measured["networks"].keys() >= {"pixel_unet", "x_mdpt_l"}:
        return Claim(text, "not run", "one of the two networks was not measured")
    large, small = (inference_memory(measured, name) for name in ("pixel_unet", "x_mdpt_l"))
    if large is None or small is None:
        return Claim(text, "cannot tell", "what an inference runs beside it was not measured")
    status: Status = "supported" if large > small else "not supported"
    if measured["settings"]["memory_pictures"] != measured["settings"]["pictures"]:
        status = "cannot tell"  # with fewer pictures, weights are a larger share of the memory
    evidence = (
        f"{large:,.0f} MB of the stand-in against {small:,.0f} MB with VAE and DINOv2 "
        f"({measured['networks']['x_mdpt_l']['memory_mb']:,.0f} MB of the denoiser alone), for "
        f"{pictures_at_once(measured)}"
    )
    return Claim(text, status, evidence)


def efficiency_claims(measured: Costs) -> tuple[Claim, ...]:
    """Claims of Section 1 and Table 3, other than the speed-up over PIDM, that could be refuted.

    Forward passes follow from the guidance, and parameters from how the stand-ins were built.
    """
    text = "X-MDPT-L draws faster than PoCoLD (3.124 s against 3.215 s in the paper)"
    return _faster(measured, text, "latent_unet", "x_mdpt_l"), _leaner(measured)


def training_claims(measured: Costs) -> tuple[Claim, ...]:
    """Table 5; only the GPU that the paper used can decide it."""
    text = "X-MDPT-L trains for 800k steps in 15.7 days on one A100"
    if "x_mdpt_l" not in measured["training"]:
        return (Claim(text, "not run", "X-MDPT-L was not measured"),)
    if not on_gpu(measured):
        return (Claim(text, "cannot tell", "measured on a CPU, where days mean nothing"),)
    if (batch := measured["settings"]["train_batch_size"]) < PAPER_BATCH:
        # AdamW's update, a part of the step, does not shrink with the batch.
        return (Claim(text, "cannot tell", f"timed with batches of {batch}, not {PAPER_BATCH}"),)
    days = training_days(measured, "x_mdpt_l", 800_000)
    status: Status = "cannot tell"
    if "A100" in measured["machine"]["name"]:
        status = "supported" if days <= 15.7 else "not supported"
    return (Claim(text, status, f"{days:.1f} days projected on {measured['machine']['name']}"),)

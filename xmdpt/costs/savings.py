"""What each saving is worth: a step as the authors' code computes it, then change after change.

All ways compute the same from the same random weights, up to rounding. They are timed in rounds,
one after another, so that whatever else the machine does meets all of them alike.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from xmdpt.config import Precision
from xmdpt.costs.efficiency import (
    MIB,
    TensorsAlive,
    TrainingStep,
    describe_machine,
    random_network,
    synchronize,
    total_loss,
    training_batch,
)
from xmdpt.costs.full_size import NETWORKS, build_x_mdpt
from xmdpt.diffusion import guidance_weight, guide
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.precision import autocast, full_float32, multiplies_bf16

SCALE, POWER = 2.0, 0.01
"""Of the guidance (Appendix A.3)."""
SIDE = 2048
"""Of the square matrices whose product shows how fast the machine can multiply."""
Size = Literal["s", "b", "l"]
Batch = dict[str, Tensor]
Model = XMDPTTransformer2DModel
Call = Callable[[Model, Batch], Tensor]


@dataclass(frozen=True)
class Way:
    """A way to compute a step."""

    name: str
    call: Call
    precision: Precision = "fp32"
    compiled: bool = False


def _condition(model: Model, batch: Batch) -> Tensor:
    tokens = batch["pose_tokens"], batch["source_tokens"]
    y: Tensor = model.encode_condition(*tokens, batch["source_latent"])
    return y


def _source_through_all_blocks(model: Model, batch: Batch, y: Tensor) -> None:
    """What the authors' code computes of the source and never uses outside of the masked pass."""
    c = model._condition(batch["t"], y)
    x = model.source_context(batch["source_latent"], c)
    for block in model.blocks[-model.config.decode_layers :]:
        x = block(x, c)


def _one_half_after_the_other(
    model: Model, batch: Batch, y: Tensor | None, use_source: bool
) -> Tensor:
    """A guided step whose halves, with and without condition, are computed one by one."""

    def half(keep: float) -> Tensor:
        own = keep * (_condition(model, batch) if y is None else y)
        if use_source:
            _source_through_all_blocks(model, batch, own)
        found: Tensor = model(batch["target_latent"], batch["t"], own).sample
        return found

    return guide(half(1.0), half(0.0), guidance_weight(batch["t"][0], SCALE, POWER))


def step_of_the_authors(model: Model, batch: Batch) -> Tensor:
    """A guided step (B, 2C, H, W) as the authors' code computes it, from the tokens in `batch`."""
    return _one_half_after_the_other(model, batch, None, use_source=True)


def _both_halves_at_once(model: Model, batch: Batch) -> Tensor:
    """A guided step as `XMDPTPipeline` computes it."""
    x, y, t = batch["target_latent"], batch["y"], batch["t"]
    x, y, t = torch.cat([x, x]), torch.cat([y, torch.zeros_like(y)]), torch.cat([t, t])
    given, free = model(x, t, y).sample.chunk(2)
    return guide(given, free, guidance_weight(t[0], SCALE, POWER))


def _with_known_condition(model: Model, batch: Batch) -> Tensor:
    return _one_half_after_the_other(model, batch, batch["y"], use_source=False)


def sampling_ways(device: torch.device, compiler: bool) -> list[Way]:
    """A guided step as the authors compute it, then with one change after another."""
    ways = [
        Way("as the authors compute", step_of_the_authors),
        Way(
            "source through no block",
            partial(_one_half_after_the_other, y=None, use_source=False),
        ),
        Way("condition once a picture", _with_known_condition),
        Way("both halves of the guidance in one batch", _both_halves_at_once),
    ]
    return _faster(ways, device, compiler)


def encoders(rows: int, device: torch.device) -> Callable[[], None]:
    """What a training without cached features calls at each step, for a batch of `rows` pairs.

    The VAE's encoder on source and target, DINOv2-G on the source and DINOv2-B on the pose.
    """
    vae: Any = random_network(NETWORKS["vae"].build, device).eval()
    (pairs,) = NETWORKS["vae"].inputs(2 * rows)
    features = [NETWORKS["dinov2_giant"], NETWORKS["dinov2_base"]]
    calls = [
        (random_network(network.build, device).eval(), network.inputs(rows)) for network in features
    ]

    @torch.no_grad()
    def encode() -> None:
        vae.encode(pairs)
        for network, inputs in calls:
            network(*inputs)

    return encode


def training_ways(
    wrap: TrainingStep, encode: Callable[[], None], device: torch.device, compiler: bool
) -> list[Way]:
    """A training step, forward and backward, likewise: first without cached features."""

    def step(model: Model, batch: Batch, use_encoders: bool, use_source: bool) -> Tensor:
        if use_encoders:
            encode()
        if use_source:
            with torch.no_grad():
                _source_through_all_blocks(model, batch, batch["y"])
        total = total_loss(wrap(model)(batch))
        total.backward()
        model.zero_grad(set_to_none=True)
        return total.detach()

    ways = [
        Way("as the authors compute", partial(step, use_encoders=True, use_source=True)),
        Way("features cached", partial(step, use_encoders=False, use_source=True)),
        Way(
            "source through no block in the plain pass",
            partial(step, use_encoders=False, use_source=False),
        ),
    ]
    return _faster(ways, device, compiler)


def _faster(ways: list[Way], device: torch.device, compiler: bool) -> list[Way]:
    """The ways, and the last of them compiled, in bfloat16, and both, as far as they help here."""
    last = ways[-1]
    compiled = replace(last, name="compiled", compiled=True)
    half = replace(last, name="bfloat16", precision="bf16")
    both = replace(compiled, name="bfloat16, compiled", precision="bf16")
    more = [compiled] * compiler
    if multiplies_bf16(device):
        more += [half, *[both] * compiler]
    return [*ways, *more]


def _ready(way: Way, model: Model, batch: Batch, device: torch.device) -> Callable[[], Tensor]:
    """The way as a call without arguments, compiled if it says so."""
    call = partial(way.call, model, batch)
    chosen: Callable[[], Tensor] = torch.compile(call) if way.compiled else call

    def run() -> Tensor:
        with autocast(device, way.precision):
            return chosen()

    return run


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """How long a call takes, until the device has finished."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def matrix_peak(device: torch.device, dtype: torch.dtype, rounds: int = 5) -> float:
    """Operations a second of a large matrix product, the best of some rounds."""
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))
    fastest = min(seconds(lambda: a @ b, device) for _ in range(rounds + 1))
    return 2 * SIDE**3 / fastest


def _measure(
    ways: Sequence[Way],
    model: Model,
    batch: Batch,
    repeats: int,
    device: torch.device,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    calls = [_ready(way, model, batch, device) for way in ways]
    first = None
    for way, call in zip(ways, calls, strict=True):
        progress(f"{way.name}: first call")
        with FlopCounterMode(display=False) as counter, TensorsAlive() as alive:
            way.call(model, batch)
        found = call().float()
        first = found if first is None else first
        difference = float((found - first).abs().max() / first.abs().max())
        about = {"name": way.name, "precision": way.precision, "compiled": way.compiled}
        about |= {"flops": counter.get_total_flops(), "memory_mb": alive.peak / MIB}
        rows.append(about | {"difference": difference, "seconds": []})
    for index in range(repeats):
        progress(f"round {index + 1} of {repeats}")
        for row, call in zip(rows, calls, strict=True):
            row["seconds"].append(seconds(call, device))
    return rows


def measure_savings(
    size: Size,
    batch_size: int,
    repeats: int,
    device: torch.device,
    compiler: bool,
    wrap: TrainingStep | None = None,
    sample_size: int = 32,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time all ways of a step of X-MDPT-S, -B or -L, in rounds.

    A training step if `wrap` makes the training module of a model, else a guided step of sampling.
    `sample_size` is the side of the latents: 32 for pictures of 256x256.

    Plain JSON: `machine`, `settings`, `peak` (operations a second of a matrix product, by
    precision) and `ways`, in order: `seconds` of each round, `flops` of a step, `memory_mb` of
    tensors alive at once beside the weights (in float32, not compiled), and `difference`, the
    largest from the first way's output, as a share of its largest number.
    """
    torch.manual_seed(0)
    kind, attention = ("sample", "none") if wrap is None else ("train", "self_cross")
    model = random_network(partial(build_x_mdpt, size, attention, sample_size), device)
    model.train(wrap is not None)
    with torch.device(device), torch.set_grad_enabled(wrap is not None), full_float32():
        batch = training_batch(model, batch_size)
        batch["t"] = torch.full_like(batch["t"], 500)
        batch["y"] = _condition(model, batch).detach()
        if wrap is None:
            ways = sampling_ways(device, compiler)
        else:
            ways = training_ways(wrap, encoders(batch_size, device), device, compiler)
        rows = _measure(ways, model, batch, repeats, device, progress)
        precisions = {row["precision"] for row in rows}
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
        peak = {name: matrix_peak(device, dtypes[name]) for name in sorted(precisions)}
    settings = {"kind": kind, "size": size, "batch_size": batch_size, "repeats": repeats}
    settings |= {"tokens": model.num_patches, "matrix_side": SIDE}
    machine = describe_machine(device)
    return {"machine": machine, "settings": settings, "peak": peak, "ways": rows}

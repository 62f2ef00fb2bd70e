"""What whole pictures cost with given weights: drawn as by the authors' code, then by each preset.

Encoders, all steps and decoding are included. The ways are timed in rounds, one after another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from xmdpt.config import Precision
from xmdpt.costs.efficiency import describe_machine
from xmdpt.costs.savings import POWER, SCALE, seconds, step_of_the_authors
from xmdpt.features.cache import sample_latent
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import EXACT_STEPS, Preset, plan, presets_of
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import autocast, full_float32, multiplies_bf16

Asked = tuple[np.ndarray, np.ndarray, Tensor, int]
"""Photos and skeletons, uint8 (B, S, S, 3), noise to start from (B, C, H, W), and a seed."""


@dataclass(frozen=True)
class Way:
    """A way to draw, and how many passes through the network a picture needs."""

    name: str
    forwards: int
    draw: Callable[[], Tensor]
    precision: Precision = "fp32"


def _ask(pipe: XMDPTPipeline, count: int) -> Asked:
    """What to draw: any pictures will do, since no time depends on what is in them."""
    generator, config = torch.Generator().manual_seed(0), pipe.transformer.config
    shape = (2, count, pipe.size, pipe.size, 3)
    photos, skeletons = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).numpy()
    latents = (count, config.in_channels, config.sample_size, config.sample_size)
    return photos, skeletons, torch.randn(latents, generator=generator).to(pipe.device), 1


@torch.no_grad()
def draw_as_the_authors(pipe: XMDPTPipeline, asked: Asked) -> Tensor:
    """Pictures (B, 3, S, S) in 50 guided steps, each computed as in the authors' code."""
    photos, skeletons, x, seed = asked
    pixels = to_signed(photos).to(pipe.device)
    moments = pipe.vae.encode(pixels).latent_dist.parameters
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(pipe.device)
    batch = {
        "source_latent": sample_latent(moments, noise, pipe.vae.config["scaling_factor"]),
        "source_tokens": pipe.encode_tokens("photo", pixels),
        "pose_tokens": pipe.encode_tokens("skeleton", to_signed(skeletons).to(pipe.device)),
    }
    pipe.scheduler.set_timesteps(EXACT_STEPS, device=pipe.device)
    for t in pipe.scheduler.timesteps:
        batch |= {"target_latent": x, "t": t.expand(len(x))}
        noise = step_of_the_authors(pipe.transformer, batch).chunk(2, dim=1)[0]
        x = pipe.scheduler.step(noise, t, x).prev_sample
    return pipe.decode(x)


def draw_by_preset(pipe: XMDPTPipeline, asked: Asked, preset: Preset) -> Tensor:
    """The same pictures (B, 3, S, S) by a preset, in [0, 1]."""
    photos, skeletons, noise, seed = asked
    made = pipe(
        [*photos],
        [*skeletons],
        guidance_scale=SCALE,
        guidance_power=POWER,
        generator=torch.Generator().manual_seed(seed),
        latents=noise,
        output_type="pt",
        preset=preset,
        any_source=True,
    )
    pictures: Tensor = made.images  # type: ignore[union-attr, assignment]
    return pictures


def ways_of(pipe: XMDPTPipeline, asked: Asked) -> list[Way]:
    """The authors' way, then each preset that the weights have, in bfloat16 too where it helps."""
    first = partial(draw_as_the_authors, pipe, asked)
    ways = [Way("as the authors compute", 2 * EXACT_STEPS, first)]
    for preset in presets_of(pipe.scheduler, pipe.learned, SCALE):
        forwards = plan(preset, pipe.scheduler, None, pipe.learned, SCALE).forwards
        ways.append(Way(preset, forwards, partial(draw_by_preset, pipe, asked, preset)))
    if multiplies_bf16(pipe.device):
        ways += [Way(f"{way.name}, bfloat16", way.forwards, way.draw, "bf16") for way in ways[1:]]
    return ways


def measure_pictures(
    pipe: XMDPTPipeline, count: int, repeats: int, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Time `count` pictures at once, in rounds through all ways.

    Plain JSON: `machine`, `settings`, and `ways`, in order, each with `name`, `forwards` of a
    picture and `seconds` of each round. Raises ValueError for weights that predict a velocity.
    """
    if pipe.scheduler.config.get("prediction_type") != "epsilon":
        raise ValueError("these weights predict a velocity, which the authors' code does not know")
    ways = ways_of(pipe, _ask(pipe, count))
    rows: list[dict[str, Any]] = [
        {"name": way.name, "forwards": way.forwards, "precision": way.precision, "seconds": []}
        for way in ways
    ]
    with full_float32():
        for index in range(repeats + 1):
            progress(f"round {index} of {repeats}" if index else "first calls")
            for way, row in zip(ways, rows, strict=True):
                with autocast(pipe.device, way.precision):
                    took = seconds(way.draw, pipe.device)
                if index:  # the first call loads encoders
                    row["seconds"].append(took)
    settings = {"pictures": count, "size": pipe.size, "repeats": repeats}
    settings["parameters"] = sum(p.numel() for p in pipe.transformer.parameters())
    return {"machine": describe_machine(pipe.device), "settings": settings, "ways": rows}


def pictures_table(measured: dict[str, Any]) -> pd.DataFrame:
    """The ways as a table: seconds a picture, and how many times as fast as the first way."""
    count, rows = measured["settings"]["pictures"], []
    slowest = median(measured["ways"][0]["seconds"])
    for way in measured["ways"]:
        middle, times = median(way["seconds"]), [one / count for one in way["seconds"]]
        rows.append(
            {
                "": way["name"],
                "forwards of a picture": way["forwards"],
                "seconds a picture": f"{middle / count:.3g}",
                "least to most": f"{min(times):.3g} to {max(times):.3g}",
                "times as fast": f"{slowest / middle:.1f}",
            }
        )
    return pd.DataFrame(rows).set_index("")


def said_of_pictures(measured: dict[str, Any]) -> str:
    """On what the times were measured, and how."""
    machine, settings = measured["machine"], measured["settings"]
    side = settings["size"]
    return (
        f"{settings['pictures']} pictures of {side}x{side} at once, by a network of "
        f"{settings['parameters'] / 1e6:.1f} M parameters, encoders and decoding included: the "
        f"median of {settings['repeats']} rounds through all ways, on {machine['name']} "
        f"({machine['threads']} threads, PyTorch {machine['torch']})."
    )

"""Do two photos of a person draw a third better than one? On rendered people whom no weights know.

docs/use/photos.md holds what came of it.

    python benchmarks/same_person.py --people 40 --out build/same_person.md

Sources are the front, the back, and both; targets are a side and a three-quarter view. A target is
drawn from the same noise in each of the three ways. `--weights` names another pipeline folder. The
table is of the people so far, and written anew after each.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from xmdpt.data.keypoints import annotation_to_pixels
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.framing import squash
from xmdpt.photos.inputs import Source
from xmdpt.photos.poses import Pose
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import atomic_path
from xmdpt.support.pictures import to_signed
from xmdpt.support.random import keyed_generator
from xmdpt.weights.load import load_pipeline

FIRST_PERSON = 9_110_000  # no profile and no weights have these numbers
FRONT, THREE_QUARTER, BACK, SIDE = range(4)
WAYS = {"front": (FRONT,), "back": (BACK,), "front and back": (FRONT, BACK)}
TARGETS = (THREE_QUARTER, SIDE)
BOTH = "front and back"


def distances(pipe: XMDPTPipeline, network: STLPIPS, number: int, steps: int) -> np.ndarray:
    """(ways, targets) st_lpips of the pictures drawn of one person."""
    person = identity(0, FIRST_PERSON + number)
    rendered = [render_person(person, view, 192, 8) for view in range(4)]
    photos = [squash(Image.fromarray(picture), pipe.size) for picture, _ in rendered]
    size = (pipe.size, pipe.size)
    poses: list[Pose] = [annotation_to_pixels(rendered[view][1], size) for view in TARGETS]
    truth = to_signed(np.stack([photos[view] for view in TARGETS]))
    found = []
    for views in WAYS.values():
        source: Source = tuple(photos[view] for view in views)
        noise = [keyed_generator(0, "same_person", number, target) for target in TARGETS]
        made = pipe([source], poses, num_inference_steps=steps, generator=noise, output_type="pt")
        found.append(network(made.images.cpu() * 2 - 1, truth))
    return torch.stack(found).numpy()


def table(scores: np.ndarray) -> str:
    """Markdown of (people, ways, targets) st_lpips, with 95 % intervals over people."""
    people = np.repeat(np.arange(len(scores)), len(TARGETS)).tolist()
    by_way = dict(zip(WAYS, scores.transpose(1, 0, 2), strict=True))
    lines = [f"{len(scores)} people\n", "| source | st_lpips ↓ |", "|---|---|"]
    lines += [f"| {way} | {values.mean():.4f} |" for way, values in by_way.items()]
    for other in [way for way in WAYS if way != BOTH]:
        gain = by_way[other] - by_way[BOTH]
        low, high = bootstrap_interval(gain.flatten().tolist(), 0, people)
        interval = f"{gain.mean():.4f} ({low:.4f} to {high:.4f})"
        lines.append(f"\n{BOTH} is better than {other} alone by {interval}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Render, draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("build/same_person.md"))
    asked = parser.parse_args()
    pipe = load_pipeline(asked.weights)
    pipe.set_progress_bar_config(disable=True)
    network, scores = STLPIPS(), []
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(asked.people), unit="person"):
        scores.append(distances(pipe, network, number, asked.steps))
        with atomic_path(asked.out) as partial:
            partial.write_text(table(np.stack(scores)))
    sys.stdout.write(asked.out.read_text())


if __name__ == "__main__":
    main()

"""What walls, light and poses cost: the same people drawn in several worlds, and scored.

    python benchmarks/worlds.py --people 60 --out build/worlds.md

A target is drawn from its person's front view, from the same noise in each world. Its error is the
mean difference of colours inside the person's true outline, so a wrong wall does not count. The
"copy" is the source itself taken for the drawing. The table is of the people so far, and written
anew after each. `--weights` names another pipeline folder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from xmdpt.data.keypoints import annotation_to_pixels
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.people.bodies import load_template, rest_shapes
from xmdpt.people.dataset import Photographer
from xmdpt.people.variety import identity
from xmdpt.photos.framing import squash
from xmdpt.photos.poses import Pose
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.files import atomic_path
from xmdpt.support.pictures import to_signed
from xmdpt.support.random import keyed_generator
from xmdpt.weights.load import load_pipeline

FIRST_PERSON = 9_120_000  # no profile and no weights have these numbers
WORLDS = {
    "white": "white",
    "plain_walls": "plain walls",
    "textures": "textured walls and rooms",
    "hard_light": "plain walls, hard light",
    "poses": "white, unseen poses",
    "wide": "all of these, cameras and prints",
}
TARGETS = (1, 2, 3)
SCORES = ("inside", "st_lpips", "inside, copy", "st_lpips, copy")


def inside(made: np.ndarray, truth: np.ndarray, outline: np.ndarray) -> float:
    """Mean absolute difference of uint8 (S, S, 3) pictures where `outline` (S, S) is true."""
    return float(np.abs(made.astype(float) - truth)[outline].mean())


def scores(
    pipe: XMDPTPipeline, camera: Photographer, network: STLPIPS, number: int, world: str
) -> np.ndarray:
    """The mean of each of `SCORES` over the targets of a person."""
    person, size = identity(0, FIRST_PERSON + number, world), (pipe.size, pipe.size)
    views = [*camera.pictures(person, rest_shapes([person.shape])[0], range(4), 192, 8)]
    photos = [squash(Image.fromarray(picture), pipe.size) for _, picture, _, _ in views]
    poses: list[Pose] = [annotation_to_pixels(views[view][2], size) for view in TARGETS]
    outlines = [np.array(Image.fromarray(views[view][3]).resize(size)) > 127 for view in TARGETS]
    noise = [keyed_generator(0, "worlds", number, view) for view in TARGETS]
    sources = [photos[0]] * len(poses)
    drawn = pipe(sources, poses, preset=pipe.best_preset, generator=noise).images
    truth, copies = [photos[view] for view in TARGETS], [photos[0]] * len(poses)
    found = []
    for made in (drawn, copies):
        pictures = [np.array(picture) for picture in made]
        errors = map(inside, pictures, map(np.array, truth), outlines)
        far = network(to_signed(np.stack(pictures)), to_signed(np.stack([*map(np.array, truth)])))
        found += [np.mean([*errors]), float(far.mean())]
    return np.array(found)


def table(found: np.ndarray) -> str:
    """Markdown of (people, worlds, scores), with 95 % intervals over people."""
    lines = [
        f"{len(found)} people, {len(TARGETS)} pictures of each\n",
        "| world | error inside the outline, of 255 ↓ | against white | st_lpips ↓ "
        "| a copy's error | a copy's st_lpips |",
        "|---|---|---|---|---|---|",
    ]
    white = found[:, 0, 0]
    for place, name in enumerate(WORLDS.values()):
        error, far, copied, copy_far = found[:, place].mean(0)
        more = found[:, place, 0] - white
        low, high = bootstrap_interval(more.tolist(), 0)
        ratio = [f"{value / white.mean():+.0%}" for value in (more.mean(), low, high)]
        against = f"{ratio[0]} ({ratio[1]} to {ratio[2]})" if place else ""
        lines.append(
            f"| {name} | {error:.1f} | {against} | {far:.4f} | {copied:.1f} | {copy_far:.4f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Render, draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("build/worlds.md"))
    asked = parser.parse_args()
    pipe, camera, network = load_pipeline(asked.weights), Photographer(load_template()), STLPIPS()
    pipe.set_progress_bar_config(disable=True)
    found: list[list[np.ndarray]] = []
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(asked.people), unit="person"):
        found.append([scores(pipe, camera, network, number, world) for world in WORLDS])
        with atomic_path(asked.out) as partial:
            partial.write_text(table(np.array(found)))
    sys.stdout.write(asked.out.read_text())


if __name__ == "__main__":
    main()

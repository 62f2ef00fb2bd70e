"""Do two photos of a person draw a third better than one? On rendered people whom no weights know.

docs/use/photos.md holds what came of it.

    python benchmarks/same_person.py --people 40 --out build/same_person.md

Sources are the front, the back, and both; targets are the other views of a person. A target is
drawn from the same noise in each of the three ways. `--weights` names another pipeline folder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import views_of_people
from xmdpt.metrics.intervals import bootstrap_interval
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.people.dataset import render_dataset
from xmdpt.photos.poses import Pose
from xmdpt.pipeline import Source, XMDPTPipeline
from xmdpt.support.files import atomic_path
from xmdpt.support.pictures import to_signed
from xmdpt.support.random import keyed_generator
from xmdpt.weights.load import load_pipeline

FIRST_PERSON = 9_110_000  # no profile and no weights have these numbers
VIEWS = 5
FRONT, BACK = "01_1_front", "01_3_back"
WAYS = {"front": (FRONT,), "back": (BACK,), "front and back": (FRONT, BACK)}
PAIRS = (("front and back", "front"), ("front and back", "back"))


def distances(
    pipe: XMDPTPipeline, network: STLPIPS, data: DeepFashion, names: list[str], steps: int
) -> np.ndarray:
    """(ways, targets) st_lpips of the pictures drawn of one person, whose views are `names`."""
    views = {Path(name).stem: name for name in names}
    targets = [name for view, name in views.items() if view not in (FRONT, BACK)]
    poses: list[Pose] = [data.skeleton(target) for target in targets]
    truth = to_signed(np.stack([data.picture(target) for target in targets]))
    found = []
    for way in WAYS.values():
        source: Source = tuple(data.picture(views[view]) for view in way)
        generator = [keyed_generator(0, "same_person", target) for target in targets]
        made = pipe(
            [source], poses, num_inference_steps=steps, generator=generator, output_type="pt"
        )
        found.append(network(made.images.cpu() * 2 - 1, truth))
    return torch.stack(found).numpy()


def table(scores: np.ndarray) -> str:
    """Markdown of (people, ways, targets) st_lpips, with 95 % intervals over people."""
    people = np.repeat(np.arange(len(scores)), scores.shape[2]).tolist()
    lines = ["| source | st_lpips ↓ |", "|---|---|"]
    by_way = dict(zip(WAYS, scores.transpose(1, 0, 2), strict=True))
    lines += [f"| {way} | {values.mean():.4f} |" for way, values in by_way.items()]
    for better, other in PAIRS:
        gain = by_way[other] - by_way[better]
        low, high = bootstrap_interval(gain.flatten().tolist(), 0, people)
        interval = f"{gain.mean():.4f} ({low:.4f} to {high:.4f})"
        lines.append(f"\n{better} is better than {other} alone by {interval}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Render, draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("build/same_person.md"))
    asked = parser.parse_args()
    root = asked.out.parent / f"same_person_{asked.people}"
    render_dataset(
        root, identities=asked.people + 1, test_identities=asked.people, views=VIEWS, height=192,
        first_identity=FIRST_PERSON,
    )  # fmt: skip
    pipe = load_pipeline(asked.weights)
    pipe.set_progress_bar_config(disable=True)
    data = DeepFashion(root, pipe.size)
    people = views_of_people(data.pictures("test"), asked.people, VIEWS)
    network = STLPIPS()
    scores = [
        distances(pipe, network, data, names, asked.steps) for names in tqdm(people, unit="person")
    ]
    with atomic_path(asked.out) as partial:
        partial.write_text(table(np.stack(scores)))
    sys.stdout.write(asked.out.read_text())


if __name__ == "__main__":
    main()

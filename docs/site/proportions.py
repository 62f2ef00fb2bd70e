"""Draw the picture of `--rescale-pose`: children's poses, plain and in adults' proportions.

    python docs/site/proportions.py

writes docs/pictures/proportions.jpg with the bundled weights: minutes on one core.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xmdpt.data.keypoints import annotation_to_pixels
from xmdpt.paper.figures import picture_grid
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.check import skeleton_over
from xmdpt.photos.framing import CANVAS, squash
from xmdpt.photos.retarget import rescale_pose
from xmdpt.photos.subjects import squash_points
from xmdpt.weights.load import load_pipeline

PICTURE = Path(__file__).parents[1] / "pictures/proportions.jpg"
PAIRS = {5_000_010: (5_000_026, 7), 5_000_004: (5_000_025, 6)}
"""Person to draw -> (child, view); no training has seen either."""
CHILD = 0.05
"""The age of a body, of which 0.7 is an adult's."""
COLUMNS = (
    "source", "the child", "its pose", "drawn", "--rescale-pose", "drawn", "the person there",
)  # fmt: skip


def main() -> None:
    pipe = load_pipeline()
    best = pipe.best_preset
    black = np.zeros((pipe.size, pipe.size, 3), np.uint8)
    rows = {}
    for number, (other, view) in PAIRS.items():
        person, adult = identity(0, number), identity(0, other)
        # Arms hang as far from the body as its weight asks for.
        shape = adult.shape | {"age": CHILD, "weight": person.shape["weight"]}
        photos, joints = zip(
            render_person(person, 0),
            render_person(replace(adult, shape=shape), view),
            render_person(replace(person, number=other), view),  # the child's views
            strict=True,
        )
        source, pose, _ = (annotation_to_pixels(points, CANVAS) for points in joints)
        poses = [squash_points(one, pipe.size) for one in (pose, rescale_pose(pose, source))]
        crop, child, truth = (squash(Image.fromarray(photo), pipe.size) for photo in photos)
        noise = [torch.Generator().manual_seed(0) for _ in poses]
        drawn = [np.asarray(one) for one in pipe(crop, poses, generator=noise, preset=best).images]
        skeletons = [skeleton_over(black, one) for one in poses]
        both = [one for pair in zip(skeletons, drawn, strict=True) for one in pair]
        rows[f"person {number - 5_000_000}"] = [crop, child, *both, truth]
        print(f"drew person {number}", flush=True)
    figure = picture_grid(rows, "", COLUMNS)
    figure.savefig(PICTURE, dpi=150, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()

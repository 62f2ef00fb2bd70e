"""Draw the README's pictures with the bundled weights: minutes on one core.

    python docs/site/people_and_poses.py

writes docs/pictures/people_and_poses.jpg, and the person and the pose of the README's command.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from xmdpt import XMDPTPipeline
from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.paper.figures import picture_grid
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.framing import squash
from xmdpt.weights.load import load_pipeline

PICTURES = Path(__file__).parents[1] / "pictures"
PEOPLE = [5_000_000, 5_000_003, 5_000_007, 5_000_011]
"""Numbers of people whom no training has seen."""
POSES = [(5_000_020, 4), (5_000_021, 5), (5_000_022, 6), (5_000_023, 2), (5_000_024, 7)]
"""(person, view) of five others, whose poses are taken."""


def drawn_grid(
    sources: Mapping[str, Image.Image], taken: Sequence[tuple[int, int]], pipe: XMDPTPipeline
) -> Figure:
    """Photos of the frame's aspect, a row each, drawn in the poses (person, view) of others."""
    size = (pipe.size, pipe.size)
    poses = [
        annotation_to_pixels(render_person(identity(0, number), view)[1], size)
        for number, view in taken
    ]
    rows = {"pose": [None, *(draw_skeleton(pose, size) for pose in poses)]}
    for name, photo in sources.items():
        source = squash(photo, pipe.size)
        generators = [torch.Generator().manual_seed(0) for _ in poses]
        drawn = pipe(source, poses, generator=generators).images
        rows[name] = [source, *map(np.asarray, drawn)]
        print(f"drew {name}", flush=True)
    return picture_grid(rows, "", ["source", *(["drawn"] * len(poses))])


def main() -> None:
    photos = {
        f"person {number - PEOPLE[0]}": Image.fromarray(render_person(identity(0, number), 0)[0])
        for number in PEOPLE
    }
    figure = drawn_grid(photos, POSES, load_pipeline())
    figure.savefig(PICTURES / "people_and_poses.jpg", dpi=150, pil_kwargs={"quality": 88})

    photos["person 0"].save(PICTURES / "person.png")
    number, view = POSES[0]
    joints = render_person(identity(0, number), view)[1]
    np.savetxt(PICTURES / "pose.txt", joints, fmt="%.1f")


if __name__ == "__main__":
    main()

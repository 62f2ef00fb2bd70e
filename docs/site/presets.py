"""Draw people with each preset of the bundled weights: two minutes on one core.

    python docs/site/presets.py

writes docs/pictures/presets.jpg for docs/use/pipeline.md.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.paper.figures import picture_grid
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.framing import squash
from xmdpt.presets import presets_of
from xmdpt.weights.load import load_pipeline

PICTURE = Path(__file__).parents[1] / "pictures/presets.jpg"
PEOPLE = [(5_000_030 + number, 3 + number) for number in range(5)]
"""(person, view) that are drawn from the front view: no training has seen these people."""


def main() -> None:
    pipe = load_pipeline()
    size = (pipe.size, pipe.size)
    taken = [render_person(identity(0, number), view) for number, view in PEOPLE]
    sources = [Image.fromarray(render_person(identity(0, number), 0)[0]) for number, _ in PEOPLE]
    sources = [squash(photo, pipe.size) for photo in sources]
    poses = [annotation_to_pixels(joints, size) for _, joints in taken]
    rows = {"source": sources, "pose": [draw_skeleton(pose, size) for pose in poses]}
    for preset in presets_of(pipe.scheduler, pipe.learned):
        generators = [torch.Generator().manual_seed(seed) for seed in range(len(poses))]
        drawn = pipe(sources, poses, preset=preset, generator=generators).images
        rows[preset] = [*map(np.asarray, drawn)]
    rows["truth"] = [squash(Image.fromarray(picture), pipe.size) for picture, _ in taken]
    figure = picture_grid(rows, "")
    figure.savefig(PICTURE, dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()

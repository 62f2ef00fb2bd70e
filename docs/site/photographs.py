"""Draw docs/pictures/photographs.jpg: photographs free to use, by the bundled weights. Minutes.

    python docs/site/photographs.py

The photographs come with scikit-image and matplotlib: Eileen Collins (NASA, public domain), a man
with a camera (Lav Varshney, CC0) and Grace Hopper (US Navy, public domain).
"""

from pathlib import Path

import numpy as np
import skimage
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageOps

from xmdpt.data.images import as_rgb
from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.paper.figures import picture_grid
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.framing import ASPECT_HEIGHT, ASPECT_WIDTH, squash
from xmdpt.weights.load import load_pipeline

PICTURE = Path(__file__).parents[1] / "pictures/photographs.jpg"
SAMPLES = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = {
    "Eileen Collins\nNASA, public domain": SAMPLES / "astronaut.png",
    "man with a camera\nLav Varshney, CC0": SAMPLES / "camera.png",
    "Grace Hopper\nUS Navy, public domain": Path(
        get_sample_data("grace_hopper.jpg", asfileobj=False)
    ),
}
POSES = [(5_000_020, 4), (5_000_022, 6), (5_000_024, 7)]
"""(person, view) of rendered people."""


def main() -> None:
    pipe = load_pipeline()
    size = (pipe.size, pipe.size)
    poses = [
        annotation_to_pixels(render_person(identity(0, number), view)[1], size)
        for number, view in POSES
    ]
    rows = {"pose": [None, *(draw_skeleton(pose, size) for pose in poses)]}
    for name, path in PHOTOGRAPHS.items():
        photo = as_rgb(Image.open(path), path)
        source = squash(
            ImageOps.pad(photo, (ASPECT_WIDTH, ASPECT_HEIGHT), color="white"), pipe.size
        )
        generators = [torch.Generator().manual_seed(0) for _ in poses]
        drawn = pipe(source, poses, generator=generators).images
        rows[name] = [source, *map(np.asarray, drawn)]
    figure = picture_grid(rows, "", ["source", *(["drawn"] * len(poses))])
    figure.savefig(PICTURE, dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()

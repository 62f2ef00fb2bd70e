"""Draw docs/pictures/photographs.jpg: photographs free to use, by the bundled weights. Minutes.

    python docs/site/photographs.py

The photographs come with scikit-image and matplotlib: Eileen Collins (NASA, public domain), a man
with a camera (Lav Varshney, CC0) and Grace Hopper (US Navy, public domain).
"""

from pathlib import Path

import skimage
from matplotlib.cbook import get_sample_data
from people_and_poses import drawn_grid
from PIL import Image, ImageOps

from xmdpt.data.images import as_rgb
from xmdpt.photos.framing import ASPECT_HEIGHT, ASPECT_WIDTH
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
    frame = (ASPECT_WIDTH, ASPECT_HEIGHT)
    photos = {
        name: ImageOps.pad(as_rgb(Image.open(path), path), frame, color="white")
        for name, path in PHOTOGRAPHS.items()
    }
    figure = drawn_grid(photos, POSES, load_pipeline())
    figure.savefig(PICTURE, dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()

"""Draw the picture of the wide world in docs/reproduce/data.md: a minute on one core.

    python docs/site/wide_world.py

writes docs/pictures/wide_world.jpg: a row for each person, with the joints over every second one.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.people.dataset import identity, render_person

PICTURE = Path(__file__).parents[1] / "pictures/wide_world.jpg"
PEOPLE = [7_200_000 + number for number in (0, 59, 52, 34, 3, 54)]
VIEWS = range(8)
HEIGHT = 176


def with_joints(picture: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) with the skeleton of its joints (18, 2) drawn over it."""
    square = (HEIGHT, HEIGHT)
    drawn = Image.fromarray(draw_skeleton(annotation_to_pixels(joints, square), square))
    skeleton = np.asarray(drawn.resize(picture.shape[1::-1]))
    return np.where(skeleton.max(axis=2, keepdims=True) > 40, skeleton, picture)


def main() -> None:
    rows = []
    for number in PEOPLE:
        person = identity(0, number, "wide")
        taken = [render_person(person, view, HEIGHT, 16) for view in VIEWS]
        rows.append(
            np.hstack([with_joints(*one) if k % 2 else one[0] for k, one in enumerate(taken)])
        )
    Image.fromarray(np.vstack(rows)).save(PICTURE, quality=85)


if __name__ == "__main__":
    main()

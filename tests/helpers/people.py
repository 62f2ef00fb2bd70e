"""Drawn people in DeepFashion's layout, and bodies made of joints."""

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
P0 = np.array([
    (88, 34), (88, 58), (66, 58), (58, 96), (56, 130), (110, 58), (118, 96), (120, 130), (74, 132),
    (72, 182), (72, 232), (102, 132), (104, 182), (104, 232), (82, 28), (94, 28), (74, 32),
    (102, 32),
], float)  # fmt: skip
"""The 18 joints of a standing person, in pixels of a picture 176 wide and 256 high."""


def draw_person(path, keypoints_path, color, lean):
    """A coloured figure of 44x64 pixels and its joints in the annotation frame."""
    image = Image.new("RGB", (44, 64), "white")
    canvas = ImageDraw.Draw(image)
    canvas.ellipse((18 + lean, 6, 26 + lean, 14), fill=(200, 150, 120))
    canvas.rectangle((15 + lean, 15, 29 + lean, 38), fill=color)
    canvas.rectangle((17, 38, 27, 60), fill=(40, 40, 90))
    path.parent.mkdir(parents=True, exist_ok=True)
    keypoints_path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95)
    joints = np.full((18, 2), -1.0)
    joints[:14] = np.linspace((22 + lean, 10), (22, 60), 14) * 4 + [40, 0]
    np.savetxt(keypoints_path, joints)


def write_people_and_poses(folder, names, poses):
    """NAME.png of framed people in a colour each, and poses/p0.txt and on."""
    for name, color in zip(names, ((200, 30, 30), (30, 30, 200)), strict=True):
        draw_person(folder / f"{name}.png", folder / "unused.txt", color, 0)
    (folder / "poses").mkdir()
    for number in range(poses):
        np.savetxt(folder / f"poses/p{number}.txt", body(2 + number / 2))
    return folder


def body(scale=1.0, shift=(0.0, 0.0)) -> np.ndarray:
    """A standing person about 100 wide and 300 high."""
    points = [(50, 20), (50, 60), (25, 62), (15, 110), (12, 155), (75, 62), (85, 110), (88, 155),
              (35, 160), (33, 230), (32, 300), (65, 160), (67, 230), (68, 300), (45, 14), (55, 14),
              (38, 18), (62, 18)]  # fmt: skip
    return np.array(points, float) * scale + shift


def long_legged(scale=1.0, shift=(0.0, 0.0), longer=1.5) -> np.ndarray:
    """`body` with thighs and shins that are `longer` times as long."""
    points = body()
    for hip in (8, 11):
        points[hip + 1 : hip + 3] = points[hip] + longer * (points[hip + 1 : hip + 3] - points[hip])
    return points * scale + shift


def points_out(frame, keypoints, size) -> np.ndarray:
    """The inverse of the frame's `points_in`."""
    scale = np.array([frame.width / size[1], frame.height / size[0]])
    outside = np.asarray(keypoints, np.float64) * scale + [frame.left, frame.top]
    outside[(np.asarray(keypoints) == -1).all(axis=1)] = -1
    return outside


class NoFinder:
    """Stands where detectors would be loaded, and must not be asked."""

    settings = ()

    def __getattr__(self, name):
        raise AssertionError(f"a detector was asked for its {name}")


def write_dataset(root, people=4, views=3, test_people=1):
    """People 0.. in one colour each, `views` pictures of each; the last ones are test people."""
    names = {"train": [], "test": []}
    for person in range(people):
        split = "test" if person >= people - test_people else "train"
        for view in range(views):
            stem = f"WOMEN/Tees_Tanks/id_{person:08d}/01_{view}_front"
            color = tuple(int(c) for c in np.random.default_rng(person).integers(0, 256, 3))
            draw_person(
                root / "img" / f"{stem}.jpg", root / "pose" / f"{stem}.txt", color, 3 * view - 3
            )
            names[split].append(f"img/{stem}.jpg")
    for split, pictures in names.items():
        (root / f"{split}.lst").write_text("\n".join(pictures) + "\n")
        pairs = [
            f"{target},{source}"
            for target in pictures
            for source in pictures
            if target != source and target.split("/")[3] == source.split("/")[3]
        ]
        (root / f"{split}_pairs.txt").write_text("\n".join(pairs) + "\n")
    return root

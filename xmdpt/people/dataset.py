"""Data sets of rendered people in DeepFashion's layout: pictures, key points, splits and pairs.

    img/WOMEN/Dresses/id_00000012/01_1_front.jpg    11:16, JPEG quality 95, 4:4:4
    pose/WOMEN/Dresses/id_00000012/01_1_front.txt   18 rows "x y" in the 256x256 padded frame
    train.lst  test.lst  train_pairs.txt  test_pairs.txt

Everything follows from (seed, identity number): the number of processes, the other people and an
interruption change no byte. Training pairs are all ordered pairs of a person's pictures. Test
sources are only the clear portraits (the front picture and one three-quarter picture, where the
chosen views hold one); their targets are all other pictures of the person.
"""

import itertools
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from xmdpt.data.annotations import SPLITS
from xmdpt.data.stores import DataError
from xmdpt.people import bodies, looks, studio
from xmdpt.people.looks import Identity, identity
from xmdpt.support.files import atomic_path, fingerprint, resumable_dir

__all__ = ["Identity", "identity", "render_dataset", "render_person"]

TEST_SOURCES = ("01_1_front", "01_7_additional")
CHUNK = 16  # people whose rest shapes are computed in one batch


class Photographer:
    """Renders people over one body template; one per process."""

    def __init__(self, template: bodies.BodyTemplate) -> None:
        self.template = template
        self.dresser = studio.Dresser(template)

    def pictures(
        self, person: Identity, shape: tuple, views: list[int], height: int, samples: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (view number, (H, W, 3) uint8 picture, (18, 2) key points) for every view.

        shape: the person's rest vertices (V, 3) and bone heads (B, 3).
        """
        rest, heads = shape
        layers = self.dresser.dress(person, rest, heads)
        size = (height, round(height * studio.ASPECT))
        for number in views:
            look = looks.view(person, number)
            rotations = bodies.bone_rotations(self.template, heads, look.pose)
            transforms = bodies.skin_transforms(self.template, heads, rotations, look.yaw)
            posed = [(x, bodies.skin(x.weights, transforms, x.rest)) for x in layers]
            body = bodies.skin(self.template.weights, transforms, rest)
            points = bodies.key_points(self.template, body)
            everything = np.concatenate([p for _, p in posed])
            camera = studio.frame(everything, look, points[[9, 12], 2].min())
            noise = int(np.random.SeedSequence([person.seed, person.number, number])
                        .generate_state(1)[0])  # fmt: skip
            picture = studio.photograph(posed, camera, size, samples, noise)
            head = transforms[self.template.bone("head"), :, :3]
            yield number, picture, padded_points(camera.project(points), head)


def padded_points(positions: np.ndarray, head: np.ndarray) -> np.ndarray:
    """(18, 2) key points in the 256x256 padded frame from frame positions (18, 2) in [0, 1].

    head (3, 3): rotation of the head. Hidden parts of the face and points outside the picture
    become -1 -1.
    """
    seen = ((positions >= 0) & (positions < 1)).all(axis=1)
    seen[list(bodies.HIDEABLE)] &= bodies.face_visible(head, np.array([0.0, -1.0, 0.0]))
    return np.where(seen[:, None], positions * (176, 256) + (40, 0), -1.0)


@lru_cache(maxsize=1)
def _local_photographer() -> Photographer:
    return Photographer(bodies.load_template())


def render_person(
    person: Identity, view_number: int, height: int = 256, samples_per_pixel: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """One picture: (H, W, 3) uint8 with W = 11/16 H, and (18, 2) key points in the padded frame.

    Raises ValueError for a view number, height or number of samples out of range.
    """
    _require("view_number", view_number, 0, 10**6)
    _check_picture(height, samples_per_pixel)
    shape = bodies.rest_shapes([person.shape])[0]
    photographer = _local_photographer()
    done = photographer.pictures(person, shape, [view_number], height, samples_per_pixel)
    _, picture, points = next(done)
    return picture, points


def _require(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")


def _check_picture(height: int, samples_per_pixel: int) -> None:
    _require("height", height, 32, 2048)
    _require("samples_per_pixel", samples_per_pixel, 1, 4096)


def _paths(person: Identity, number: int) -> tuple[str, str]:
    stem = f"{person.folder}/{looks.view(person, number).name}"
    return f"img/{stem}.jpg", f"pose/{stem}.txt"


_worker: Photographer | None = None


def _start_worker(template: bodies.BodyTemplate) -> None:
    global _worker
    import drjit

    drjit.set_thread_count(1)
    _worker = Photographer(template)


def _work(
    root: Path, person: Identity, shape: tuple, views: list[int], height: int, samples: int
) -> int:
    assert _worker is not None
    for number, picture, points in _worker.pictures(person, shape, views, height, samples):
        image, pose = (root / p for p in _paths(person, number))
        with atomic_path(pose) as partial:
            np.savetxt(partial, points, fmt="%.3f")
        with atomic_path(image) as partial:  # last: a picture on disk is a finished one
            Image.fromarray(picture).save(partial, quality=95, subsampling=0)
    return len(views)


def _unfinished(root: Path, people: list[Identity], views: int) -> list[tuple[Identity, list[int]]]:
    """The people with views still to render, and which."""
    left = [
        [view for view in range(views) if not (root / _paths(person, view)[0]).exists()]
        for person in people
    ]
    return [(person, rest) for person, rest in zip(people, left, strict=True) if rest]


def _jobs(todo: list[tuple[Identity, list[int]]]) -> Iterator[tuple]:
    """Yield (person, rest shape, views to render), shapes computed a chunk at a time."""
    for start in range(0, len(todo), CHUNK):
        chunk = todo[start : start + CHUNK]
        shapes = bodies.rest_shapes([person.shape for person, _ in chunk])
        for (person, left), (rest, heads) in zip(chunk, shapes, strict=True):
            yield person, (rest.astype(np.float32), heads), left


def _render_all(root: Path, people: list[Identity], views: int, picture: tuple, workers: int):
    """Render what is missing with `workers` processes, at most a chunk waiting per process."""
    template = bodies.load_template()
    todo, total = _unfinished(root, people, views), len(people) * views
    finished = total - sum(len(left) for _, left in todo)
    bar = tqdm(total=total, initial=finished, desc="rendering people", unit="picture")
    with (
        bar,
        ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_start_worker, initargs=(template,)
        ) as pool,
    ):
        waiting: set[Future] = set()
        for person, shape, left in _jobs(todo):
            waiting.add(pool.submit(_work, root, person, shape, left, *picture))
            while len(waiting) >= 3 * workers:
                done = next(as_completed(waiting))
                waiting.remove(done)
                bar.update(done.result())
        for done in as_completed(waiting):
            bar.update(done.result())


def _write_lists(root: Path, train: list[Identity], test: list[Identity], views: int) -> None:
    for split, people in (("train", train), ("test", test)):
        names, pairs = [], []
        for person in people:
            own = [_paths(person, v)[0] for v in range(views)]
            names += own
            sources = own if split == "train" else [p for p in own if Path(p).stem in TEST_SOURCES]
            pairs += [f"{t},{s}" for t, s in itertools.product(own, sources) if t != s]
        for name, lines in ((f"{split}.lst", names), (f"{split}_pairs.txt", pairs)):
            with atomic_path(root / name) as partial:
                partial.write_text("".join(f"{line}\n" for line in lines))


def _cores() -> int:
    """Cores this process may use; macOS and Windows do not say, so all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_replaceable(root: Path) -> None:
    """Raise DataError where `root` holds anything but people that were rendered before."""
    if not root.exists() or not any(root.iterdir()):
        return
    lists = {f"{split}{end}" for split in SPLITS for end in (".lst", "_pairs.txt")}
    joints = next(root.glob("pose/**/*.txt"), None)  # three decimals, as no other tool has them
    ours = joints and re.fullmatch(r"(-?\d+\.\d{3} -?\d+\.\d{3}\n){18}", joints.read_text())
    if not ours or {path.name for path in root.iterdir()} != {"img", "pose"} | lists:
        raise DataError(
            f"{root}: holds something else than rendered people, who would replace it; name "
            "another folder as data.root, or take data.rendered out of the settings"
        )


def render_dataset(
    root: Path,
    *,
    identities: int = 110,
    test_identities: int = 20,
    views: int = 8,
    height: int = 256,
    samples_per_pixel: int = 8,
    seed: int = 0,
    first_identity: int = 0,
    workers: int | None = None,
) -> None:
    """Render a data set to the folder `root`; an interrupted call resumes where it stopped.

    identities: people in all, the last `test_identities` of them for testing; views: pictures of
    each; height: of a picture in pixels; first_identity: number of the first person, so that
    other ranges give other people; workers: processes, by default one a core.
    Raises ValueError that names an argument out of range, DataError where `root` holds something
    else than rendered people.
    """
    _check_replaceable(root)
    _require("identities", identities, 1, 10**6)
    _require("test_identities", test_identities, 0, identities)
    _require("views", views, 1, 64)
    _check_picture(height, samples_per_pixel)
    _require("seed", seed, 0, 2**31)
    _require("first_identity", first_identity, 0, 10**8 - identities)
    workers = workers if workers is not None else _cores()
    _require("workers", workers, 1, 1024)
    people = [identity(seed, first_identity + k) for k in range(identities)]
    split = identities - test_identities
    key = fingerprint(
        "people-1", identities, test_identities, views, height, samples_per_pixel, seed,
        first_identity,
    )  # fmt: skip
    with resumable_dir(root, key) as partial:
        _render_all(partial, people, views, (height, samples_per_pixel), workers)
        _write_lists(partial, people[:split], people[split:], views)

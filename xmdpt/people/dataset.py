"""Data sets of rendered people in DeepFashion's layout: pictures, key points, lists and pairs.

    img/WOMEN/Dresses/id_00000012/01_1_front.jpg    11:16, JPEG quality 95, 4:4:4
    pose/WOMEN/Dresses/id_00000012/01_1_front.txt   18 rows "x y" in the 256x256 padded frame
    pose/WOMEN/Dresses/id_00000012/01_1_front.png   the silhouette; where the world is not white
    train.lst  test.lst  train_pairs.txt  test_pairs.txt

A person is determined by (seed, number, world) to the byte, whatever the number of processes, the
other people, and interruptions. Training pairs are all ordered pairs of a person's pictures. Test
pairs have a clear portrait as source (the front view, or a three-quarter view if there is one), and
any other picture of the person as target. All pictures of a person have the same wall and light.
"""

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from xmdpt.data.annotations import SPLITS
from xmdpt.data.stores import DataError
from xmdpt.people import bodies, studio, worlds
from xmdpt.people.backdrop import Backdrop
from xmdpt.people.cameras import ASPECT, frame
from xmdpt.people.dresser import Dresser, seat
from xmdpt.people.looks import Identity
from xmdpt.people.variety import identity
from xmdpt.people.views import PORTRAITS, View, view
from xmdpt.support.cores import usable_cores
from xmdpt.support.ends import LOST, end_with_parent
from xmdpt.support.files import atomic_path, code_key, fingerprint, resumable_dir
from xmdpt.support.shards import NOTES, Shard, note_done, pieces_left, shared_dir

__all__ = ["Identity", "identity", "render_dataset", "render_person"]

TEST_SOURCES = PORTRAITS
FRONT = np.array([0.0, -1.0, 0.0])
CHUNK = 16  # people whose bodies are computed in one batch
Job = tuple[int, Identity, bodies.Shape]
"""The number of a piece, the person in it, and the body at rest."""


class Photographer:
    """Renders people from one body template; each process has one."""

    def __init__(self, template: bodies.BodyTemplate) -> None:
        self.template = template
        self.dresser = Dresser(template)

    def pictures(
        self, person: Identity, shape: bodies.Shape, views: list[int], height: int, samples: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield view number, picture (H, W, 3), key points (18, 2) and silhouette (H, W)."""
        layers = self.dresser.dress(person, *shape)
        size = (height, round(height * ASPECT))
        spot = worlds.place(person)
        backdrop = Backdrop(spot) if spot.wall else None
        for number in views:
            look = view(person, number)
            transforms, points = self.pose(shape, look)
            posed = [(x, bodies.skin(x.weights, transforms, x.rest)) for x in layers]
            everything = np.concatenate([p for _, p in posed])
            cuts = {"knees": points[[9, 12], 2].min(), "upper": points[[8, 11], 2].min() - 0.05}
            camera = frame(everything, look, cuts)
            things = [seat(everything, points, look.yaw)] if look.pose.seated else []
            noise = int(np.random.SeedSequence([person.seed, person.number, number])
                        .generate_state(1)[0])  # fmt: skip
            picture, outline = studio.photograph(
                posed, things, camera, spot.light, backdrop, size, samples, noise
            )
            head = transforms[self.template.bone("head"), :, :3]
            joints = padded_points(camera.project(points), head, -camera.axes[1])
            yield number, picture, joints, outline

    def pose(self, shape: bodies.Shape, look: View) -> tuple[np.ndarray, np.ndarray]:
        """The transforms (B, 3, 4) of the bones in a view, and key points (18, 3) in metres."""
        rest, heads = shape
        rotations = bodies.bone_rotations(self.template, heads, look.pose)
        transforms = bodies.skin_transforms(self.template, heads, rotations, look.yaw)
        body = bodies.skin(self.template.weights, transforms, rest)
        return transforms, bodies.key_points(self.template, body)


def padded_points(
    positions: np.ndarray, head: np.ndarray, towards: np.ndarray = FRONT
) -> np.ndarray:
    """Positions in the picture (18, 2) in [0, 1] -> key points in the 256x256 padded frame.

    Points outside the picture become -1 -1, and so do parts of the face that the rotation of the
    head, (3, 3), hides from a camera in the direction `towards` (3,).
    """
    seen: np.ndarray = np.all((positions >= 0) & (positions < 1), axis=1)
    seen[list(bodies.HIDEABLE)] &= bodies.face_visible(head, towards)
    return np.where(seen[:, None], positions * (176, 256) + (40, 0), -1.0)


@cache
def _local_photographer() -> Photographer:
    return Photographer(bodies.load_template())


def render_person(
    person: Identity, view_number: int, height: int = 256, samples_per_pixel: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """One picture, uint8 (H, W, 3) with W = 11/16 H, and its key points (18, 2), padded frame.

    Raises ValueError for a view number, height or number of samples that is out of range.
    """
    _require("view_number", view_number, 0, 10**6)
    _check_picture(height, samples_per_pixel)
    shape = bodies.rest_shapes([person.shape])[0]
    photographer = _local_photographer()
    done = photographer.pictures(person, shape, [view_number], height, samples_per_pixel)
    _, picture, points, _ = next(done)
    return picture, points


def _require(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")


def _check_picture(height: int, samples_per_pixel: int) -> None:
    _require("height", height, 32, 2048)
    _require("samples_per_pixel", samples_per_pixel, 1, 4096)


def _paths(person: Identity, number: int) -> list[str]:
    """Files of a view: the picture, the key points and, where it is kept, the silhouette."""
    stem = f"{person.folder}/{view(person, number).name}"
    outline = [] if person.world == "white" else [f"pose/{stem}.png"]  # white: a threshold finds it
    return [f"img/{stem}.jpg", f"pose/{stem}.txt", *outline]


_worker: Photographer | None = None


def _start_worker(templates: "Queue[bodies.BodyTemplate]") -> None:
    global _worker
    import drjit

    end_with_parent()
    drjit.set_thread_count(1)
    _worker = Photographer(templates.get())


def _work(root: Path, job: Job, views: int, height: int, samples: int) -> int:
    """Render a person in a worker process, and note the person as done; returns how many views."""
    assert _worker is not None, "`_start_worker` makes it"
    piece, person, shape = job
    made: list[Path] = []
    pictures = _worker.pictures(person, shape, [*range(views)], height, samples)
    for number, picture, points, outline in pictures:
        image, pose, *outlines = paths = [root / path for path in _paths(person, number)]
        with atomic_path(image) as partial:
            Image.fromarray(picture).save(partial, quality=95, subsampling=0)
        with atomic_path(pose) as partial:
            np.savetxt(partial, points, fmt="%.3f")
        for path in outlines:
            with atomic_path(path) as partial:
                Image.fromarray(outline).save(partial)
        made += paths
    note_done(root, piece, made)
    return views


def _jobs(todo: dict[int, Identity]) -> Iterator[Job]:
    """Yield jobs, computing bodies a chunk at a time."""
    pieces = [*todo.items()]
    for start in range(0, len(pieces), CHUNK):
        chunk = pieces[start : start + CHUNK]
        shapes = bodies.rest_shapes([person.shape for _, person in chunk])
        for (piece, person), (rest, heads) in zip(chunk, shapes, strict=True):
            yield piece, person, (rest.astype(np.float32), heads)


def _render_all(
    root: Path, todo: dict[int, Identity], views: int, height: int, samples: int, workers: int
) -> None:
    """Render the people `todo` with `workers` processes, each with at most three jobs waiting.

    A queue brings them the body's template. As an argument it would fill the pipe to a process that
    starts, and if that process is killed before it reads, Python writes on for ever.
    """
    context = get_context("spawn")
    template, templates = bodies.load_template(), context.Queue()
    for _ in range(workers):
        templates.put(template)
    templates.cancel_join_thread()  # a killed process leaves one that nobody will read
    bar = tqdm(total=len(todo) * views, desc="rendering people", unit="picture")
    with (
        bar,
        ProcessPoolExecutor(
            workers, context, initializer=_start_worker, initargs=(templates,)
        ) as pool,
    ):
        waiting: set[Future[int]] = set()
        for job in _jobs(todo):
            waiting.add(pool.submit(_work, root, job, views, height, samples))
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


def _check_replaceable(root: Path) -> None:
    """Raise DataError if `root` holds anything but people that were rendered before."""
    if not root.exists() or not any(root.iterdir()):
        return
    lists = {f"{split}{end}" for split in SPLITS for end in (".lst", "_pairs.txt")}
    joints = next(root.glob("pose/**/*.txt"), None)  # three decimals, as no other tool has them
    ours = joints and re.fullmatch(r"(-?\d+\.\d{3} -?\d+\.\d{3}\n){18}", joints.read_text())
    if not ours or {path.name for path in root.iterdir()} != {"img", "pose"} | lists:
        raise DataError(
            f"{root}: holds something other than rendered people, which would be replaced; set "
            "data.root to another folder, or remove data.rendered from the settings"
        )


def render_dataset(
    root: str | Path,
    *,
    identities: int = 110,
    test_identities: int = 20,
    views: int = 8,
    height: int = 256,
    samples_per_pixel: int = 8,
    seed: int = 0,
    first_identity: int = 0,
    world: str = "white",
    workers: int | None = None,
    keep: bool = False,
    shard: Shard | None = None,
) -> None:
    """Render a data set to the folder `root`; after an interruption, the next call resumes.

    Args:
        identities: number of people, the last `test_identities` of whom are for testing.
        views: pictures of each person.
        height: of a picture, in pixels.
        first_identity: number of the first person; other ranges give other people.
        world: what varies around the people, see `xmdpt.people.worlds`.
        workers: number of processes, by default one per core.
        keep: see `xmdpt.support.files.resumable_dir`.
        shard: renders this share of the people alone; the call without one finishes `root`.

    Raises ValueError for an argument out of range, and DataError if `root` holds something other
    than rendered people, or if a process is killed.
    """
    root = Path(root)
    _check_replaceable(root)
    _require("identities", identities, 1, 10**6)
    _require("test_identities", test_identities, 0, identities)
    _require("views", views, 1, 64)
    _check_picture(height, samples_per_pixel)
    _require("seed", seed, 0, 2**31)
    _require("first_identity", first_identity, 0, 10**8 - identities)
    workers = workers if workers is not None else len(usable_cores())
    _require("workers", workers, 1, 1024)
    people = [identity(seed, first_identity + k, world) for k in range(identities)]
    split = identities - test_identities
    key = fingerprint(
        code_key("people/*.py"), identities, test_identities, views, height, samples_per_pixel,
        seed, first_identity, *([] if world == "white" else [world]),
    )  # fmt: skip

    def render_missing(work: Path) -> None:
        if todo := pieces_left(work, people, shard):
            try:
                _render_all(work, todo, views, height, samples_per_pixel, workers)
            except BrokenProcessPool:
                raise DataError(
                    f"{root}: a process that renders {LOST}; "
                    "run the same command to continue from the finished people"
                ) from None

    if shard is not None:
        with shared_dir(root, key, shard) as partial:
            render_missing(partial)
        return
    with resumable_dir(root, key, keep=keep, scratch=NOTES) as partial:
        render_missing(partial)
        _write_lists(partial, people[:split], people[split:], views)

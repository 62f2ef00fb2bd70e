"""Rendered people: determinism, resuming, layout, key points, backgrounds and silhouettes."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.repository import ROOT
from PIL import Image

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.keypoints import missing
from xmdpt.data.stores import DataError
from xmdpt.people import dataset as rendering
from xmdpt.people.bodies import load_template, rest_shapes
from xmdpt.people.views import view
from xmdpt.people.worlds import place

GOLDEN = Path(__file__).parents[1] / "golden"
KEPT = [(0, 0), (1, 3), (2, 5), (5, 6), (6_000_000, 2), (9, 7)]
"""(person, view) of the pictures in tests/golden/people_white.png."""
SMALL = {"views": 2, "height": 64, "samples_per_pixel": 2, "seed": 3}


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people") / "set"
    rendering.render_dataset(root, identities=3, test_identities=1, workers=1, **SMALL)
    return root


def stopped_before_the_lists(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set like `dataset` whose people are all rendered; returns the working folder."""
    with monkeypatch.context() as patch:

        def stop(*_):
            raise KeyboardInterrupt

        patch.setattr(rendering, "_write_lists", stop)
        with pytest.raises(KeyboardInterrupt):
            rendering.render_dataset(root, identities=3, test_identities=1, workers=2, **SMALL)
    assert not root.exists()
    (partial,) = root.parent.glob(f".{root.name}.partial-*")
    return partial


def test_same_bytes_with_other_workers_after_an_interruption(dataset, tmp_path, monkeypatch):
    """A person of whom a file is gone, changed, or not noted is rendered again, and nobody else."""
    work = stopped_before_the_lists(tmp_path / "b", monkeypatch)
    first, second, third = sorted(work.glob("img/*/*/*"))
    joints = sorted((work / "pose" / first.relative_to(work / "img")).glob("*.txt"))
    joints[0].unlink()
    joints[1].write_text(joints[1].read_text().replace("1", "2", 1))
    (note,) = [path for path in work.glob("*.json") if f"{second.name}/" in path.read_text()]
    note.unlink()
    picture = sorted(second.iterdir())[0]  # as a kill between two of a person's pictures leaves it
    picture.write_bytes(picture.read_bytes()[:-9])
    kept = {path.name: path.stat().st_mtime_ns for path in third.iterdir()}
    rendering.render_dataset(tmp_path / "b", identities=3, test_identities=1, workers=1, **SMALL)
    assert files(tmp_path / "b") == files(dataset)
    finished = tmp_path / "b" / third.relative_to(work)
    assert {path.name: path.stat().st_mtime_ns for path in finished.iterdir()} == kept


RENDER = """
import sys
from pathlib import Path
from xmdpt.people.dataset import render_dataset
if __name__ == "__main__":
    settings = dict(zip(sys.argv[2::2], map(int, sys.argv[3::2])))
    render_dataset(Path(sys.argv[1]), identities=3, test_identities=1, workers=2, **settings)
"""


def workers_of(process: int) -> list[int]:
    """The ids of the processes that render for another one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def at_work(process: int) -> bool:
    """Whether a process is there, and not just its exit code, which nobody has asked for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_script_whose_processes_cannot_begin_is_told_what_it_lacks(tmp_path):
    script = tmp_path / "render.py"
    script.write_text(RENDER.replace('__name__ == "__main__"', "True"))
    command = [sys.executable, str(script), str(tmp_path / "set")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1 and 'without `if __name__ == "__main__":`' in ended.stderr
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("whom", ["all", "a worker", "a worker that starts"])
def test_a_renderer_that_is_killed_goes_on_to_the_same_bytes(whom, dataset, tmp_path):
    """Its processes end with it; one that is killed alone is said, and ends it in one line."""
    script = tmp_path / "render.py"
    script.write_text(RENDER)
    root = tmp_path / "set"
    settings = [str(word) for pair in SMALL.items() for word in pair]
    command = [sys.executable, str(script), str(root), *settings]
    renderer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    starts = whom == "a worker that starts"
    while not (
        workers_of(renderer.pid) if starts else [*tmp_path.glob(".set.partial-*/[0-9]*.json")]
    ):
        assert renderer.poll() is None
        time.sleep(0.01)
    workers = workers_of(renderer.pid)
    assert len(workers) == 2 or starts
    os.kill(renderer.pid if whom == "all" else workers[0], signal.SIGKILL)
    said = renderer.communicate(timeout=300)[1]
    if whom != "all":
        assert (
            "a process that renders was killed" in said and "to continue from the finished" in said
        )
    for _ in range(3000):
        if not any(map(at_work, workers)):
            break
        time.sleep(0.1)
    assert not any(map(at_work, workers))
    assert not root.exists()
    rendering.render_dataset(root, identities=3, test_identities=1, workers=1, **SMALL)
    assert files(root) == files(dataset)


def test_layout_and_splits(dataset):
    names = files(dataset)
    lines = {k: names[k].decode().split() for k in names if "/" not in k}
    assert set(lines) == {"train.lst", "test.lst", "train_pairs.txt", "test_pairs.txt"}
    assert [len(lines[k]) for k in ("train.lst", "test.lst", "train_pairs.txt")] == [4, 2, 4]
    listed = set(lines["train.lst"]) | set(lines["test.lst"])
    assert listed == {n for n in names if n.startswith("img/")}
    assert {n.replace("img/", "pose/").replace(".jpg", ".txt") for n in listed} <= set(names)

    def people(split: str) -> set[Path]:
        return {Path(name).parent for name in lines[split]}

    assert not people("train.lst") & people("test.lst")
    for split in ("train", "test"):
        for line in lines[f"{split}_pairs.txt"]:
            target, source = line.split(",")
            assert target != source and {target, source} <= set(lines[f"{split}.lst"])
            assert Path(target).parent == Path(source).parent
            assert split == "train" or Path(source).stem in rendering.TEST_SOURCES


def test_pictures_and_key_points(dataset):
    for path in dataset.rglob("*.jpg"):
        picture = np.asarray(Image.open(path)).astype(int)
        assert picture.shape == (64, 44, 3)
        assert picture[[0, 0, -1, -1], [0, -1, 0, -1]].min() >= 250
        text = dataset / "pose" / path.relative_to(dataset / "img").with_suffix(".txt")
        points = np.loadtxt(text)
        assert points.shape == (18, 2)
        seen = points[points[:, 0] != -1]
        assert len(seen) >= 10
        assert (seen >= (40, 0)).all() and (seen <= (216, 256)).all()
        columns = ((seen[:, 0] - 40) * 44 / 176).astype(int)
        rows = (seen[:, 1] * 64 / 256).astype(int)
        person = picture.min(axis=2) < 245
        near = [person[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].any()
                for r, c in zip(rows, columns, strict=True)]  # fmt: skip
        assert all(near)


@pytest.mark.parametrize(
    ("turn", "hidden"), [(0, []), (90, [15, 17]), (-90, [14, 16]), (180, [0, 14, 15])]
)
def test_what_the_head_hides_has_no_joints(turn, hidden):
    angle = np.deg2rad(turn)
    head = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    positions = np.full((18, 2), 0.5)
    assert missing(rendering.padded_points(positions, head)).nonzero()[0].tolist() == hidden
    positions[4] = [1.01, 0.5]
    assert missing(rendering.padded_points(positions, head)).nonzero()[0].tolist() == sorted(
        [4, *hidden]
    )


def test_single_picture_equals_the_data_set(dataset):
    person = rendering.identity(3, 0)
    picture, points = rendering.render_person(person, 0, 64, 2)
    name = f"{person.folder}/{view(person, 0).name}"
    assert picture.shape == (64, 44, 3) and picture.dtype == np.uint8
    np.testing.assert_allclose(points, np.loadtxt(dataset / f"pose/{name}.txt"), atol=1e-2)
    stored = np.asarray(Image.open(dataset / f"img/{name}.jpg")).astype(int)
    assert np.abs(stored - picture).mean() < 4
    assert points[2, 0] < points[5, 0] and points[8, 0] < points[11, 0]  # a front view
    assert points[16, 0] < points[0, 0] < points[17, 0]


def test_people_differ_and_repeat():
    assert rendering.identity(0, 5) == rendering.identity(0, 5)
    people = [rendering.identity(0, n) for n in (*range(20), *range(100000, 100020))]
    assert len({(p.shape["height"], p.skin) for p in people}) == 40
    assert {p.gender for p in people} == {"WOMEN", "MEN"}
    first = view(people[0], 0)
    assert first.name == "01_1_front" and abs(first.yaw) <= 8
    assert len({view(people[0], v).name for v in range(20)}) == 20


def test_a_folder_of_somebody_elses_is_not_replaced(dataset, tmp_path):
    """Even one in the same layout: DeepFashion as others lay it out."""
    root, settings = tmp_path / "people", {"identities": 2, "test_identities": 1, "workers": 1}
    shutil.copytree(dataset, root)
    rendering.render_dataset(root, **settings, **SMALL | {"seed": 1})  # its own it may
    extra = root / "photo.jpg"
    extra.touch()
    with pytest.raises(DataError, match="something other than rendered people"):
        rendering.render_dataset(root, **settings, **SMALL)
    extra.unlink()
    for path in (root / "pose").rglob("*.txt"):
        np.savetxt(path, np.loadtxt(path))  # NTED's format
    with pytest.raises(DataError, match="something other than rendered people"):
        rendering.render_dataset(root, **settings, **SMALL)
    assert len([*root.rglob("*.jpg")]) == 2 * SMALL["views"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("identities", 0), ("test_identities", 5), ("views", 0), ("height", 8)),
        *(("samples_per_pixel", 0), ("seed", -1), ("first_identity", -1), ("workers", 0)),
        ("world", "mars"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, name, value):
    settings = {"identities": 2, "test_identities": 1, "workers": 1, **SMALL, name: value}
    with pytest.raises(ValueError, match=name):
        rendering.render_dataset(str(tmp_path / "x"), **settings)


def test_the_white_studio_draws_what_it_always_drew():
    """The bundled weights were trained on it. Another processor may round a pixel otherwise."""
    made = [rendering.render_person(rendering.identity(0, n), v, 64, 2) for n, v in KEPT]
    kept = np.asarray(Image.open(GOLDEN / "people_white.png"))
    assert (np.hstack([picture for picture, _ in made]) != kept).any(axis=2).mean() < 0.002
    joints = np.loadtxt(GOLDEN / "people_white.txt")
    np.testing.assert_allclose(np.vstack([points for _, points in made]), joints, atol=2e-3)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wide") / "set"
    settings = SMALL | {"views": 4}
    rendering.render_dataset(
        root, identities=2, test_identities=1, workers=1, world="wide", **settings
    )
    return root


def test_a_world_is_rendered_again_to_the_byte(wide):
    person = rendering.identity(SMALL["seed"], 1, "wide")
    pictures = [rendering.render_person(person, number, 64, 2)[0] for number in (2, 1, 2)]
    assert np.array_equal(pictures[0], pictures[2])
    for number, picture in ((1, pictures[1]), (2, pictures[0])):
        stem = f"{person.folder}/{view(person, number).name}"
        stored = np.asarray(Image.open(wide / f"img/{stem}.jpg")).astype(int)
        assert np.abs(stored - picture).mean() < 6


def test_joints_lie_on_the_silhouette_or_are_missing(wide):
    found = sorted(wide.rglob("*.jpg"))
    assert len(found) == 8
    for path in found:
        text = wide / "pose" / path.relative_to(wide / "img").with_suffix(".txt")
        outline = np.asarray(Image.open(text.with_suffix(".png")))
        assert outline.shape == (64, 44) and outline.max() == 255 and outline.mean() > 12
        points = np.loadtxt(text)
        body = points[1:14][points[1:14, 0] != -1]
        columns = ((body[:, 0] - 40) * 44 / 176).astype(int)
        rows = (body[:, 1] * 64 / 256).astype(int)
        assert len(body) >= 4 and (outline[rows, columns] > 100).mean() > 0.9
    assert DeepFashion(wide, 64).pictures("test"), "silhouettes are not taken for pictures"


def test_joints_below_an_upper_body_are_missing():
    numbers = [(n, v) for n in range(12) for v in range(8)
               if view(rendering.identity(0, n, "wide"), v).framing == "upper"]  # fmt: skip
    person, number = numbers[0]
    _, points = rendering.render_person(rendering.identity(0, person, "wide"), number, 64, 1)
    ankles, neck = points[[10, 13]], points[1]
    assert missing(ankles).all() and not missing(neck[None]).any()


def test_all_pictures_of_a_person_have_one_wall():
    people = [rendering.identity(0, number, "plain_walls") for number in range(12)]
    people.sort(key=lambda person: sum(place(person).wall.colours[0]))
    corners = []
    for person in (people[0], people[-1]):  # a dark wall and a light one
        pictures = [rendering.render_person(person, v, 64, 1)[0] for v in (0, 1)]
        corners.append([picture[:6, [0, 1, -2, -1]].mean(axis=(0, 1)) for picture in pictures])
    (first, again), (other, _) = corners
    assert np.abs(first - again).max() < 12 < 48 < np.abs(first - other).max()


def test_a_silhouette_from_before_a_wall_fits_the_person_on_white():
    people = [rendering.identity(0, 4, world) for world in ("white", "plain_walls")]
    shape = rest_shapes([people[0].shape])[0]
    photographer = rendering.Photographer(load_template())
    taken = [next(photographer.pictures(person, shape, [3], 64, 2)) for person in people]
    (_, on_white, joints, outline), (_, walled, same_joints, same_outline) = taken
    assert np.array_equal(outline, same_outline) and np.array_equal(joints, same_joints)
    apart = np.abs(on_white.astype(int) - walled).max(axis=2)
    assert apart[outline == 255].max() <= 2, "what is left of 255 when a cover is rounded up"
    assert on_white[outline == 0].min() >= 253 and apart[outline == 0].max() > 20


def test_the_documents_name_a_silhouette_that_is_rendered():
    page = (ROOT / "docs/reproduce/data.md").read_text(encoding="utf-8")
    [(folder, number)] = re.findall(r"textures/pose/(\S+?id_(\d{8}))/01_1_front\.png", page)
    [first] = re.findall(r"first_identity=([\d_]+)", page)
    assert 0 <= int(number) - int(first) < 60
    assert rendering.identity(0, int(number), "textures").folder == folder

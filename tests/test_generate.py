"""`generate`: from files to pictures, and the command that runs it."""

import numpy as np
import pytest
from helpers.commands import both, xmdpt
from helpers.networks import make_pipeline
from helpers.people import SIZE, NoFinder, body, draw_person, long_legged
from PIL import Image

from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton, missing
from xmdpt.generate import BATCH, closeness, contact_sheet, draw, prepare
from xmdpt.photos.marking import MARK
from xmdpt.photos.retarget import limb_lengths
from xmdpt.photos.subjects import Subject


@pytest.fixture
def person(tmp_path):
    """A drawn person, 44x64 pixels, with 14 joints in the annotation frame."""
    draw_person(tmp_path / "me.png", tmp_path / "me.txt", (200, 30, 30), 0)
    return tmp_path / "me.png", tmp_path / "me.txt"


# From files to pictures


@pytest.fixture(scope="module")
def pipe(tiny_vae):
    return make_pipeline(tiny_vae)


def test_a_framed_photo_and_annotations_are_read_as_the_data_sets_are(person):
    photo, annotation = person
    said = []
    prepared = prepare(
        Subject(photo), Subject(annotation, units="annotation"), NoFinder(), say=said.append
    )
    points = annotation_to_pixels(np.loadtxt(annotation), (SIZE, SIZE))
    np.testing.assert_allclose(prepared.keypoints_at(SIZE), points, atol=1e-9)
    expected = Image.open(photo).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    assert np.array_equal(prepared.source_at(SIZE), np.array(expected))
    assert np.array_equal(prepared.skeleton_at(SIZE), draw_skeleton(points, (SIZE, SIZE)))
    slip, line = said
    assert slip.startswith("note: ") and "all joints lie on one line" in slip
    assert "4 of 18 joints missing: right eye, left eye, right ear, left ear" in line


def test_a_pose_in_the_sources_proportions(tmp_path):
    Image.radial_gradient("L").resize((750, 1101)).save(tmp_path / "me.png")
    np.savetxt(tmp_path / "me.txt", long_legged(2.0, (200, 100), longer=1.2))
    np.savetxt(tmp_path / "pose.txt", body(3.0))
    source, pose = Subject(tmp_path / "me.png", tmp_path / "me.txt"), Subject(tmp_path / "pose.txt")
    plain, made = (
        prepare(source, pose, NoFinder(), rescale=rescale).keypoints for rescale in (False, True)
    )
    ratios = np.full(18, 286 / (286 + 0.2 * 140))  # as high as before, with longer legs
    ratios[[9, 10, 12, 13]] *= 1.2
    ratios[1] = np.nan  # the neck ends no limb
    np.testing.assert_allclose(
        limb_lengths(made), limb_lengths(plain) * ratios, rtol=2e-3
    )  # frames are whole pixels
    assert made[[10, 13], 1].max() == pytest.approx(plain[[10, 13], 1].max())


def test_what_leaves_the_picture_in_other_proportions_is_named(tmp_path):
    Image.radial_gradient("L").resize((750, 1101)).save(tmp_path / "me.png")
    long_armed, pose = body(), body(0.8, (88, 2))
    for elbow in (3, 6):
        long_armed[elbow + 1] = body()[elbow] + 3 * (body()[elbow + 1] - body()[elbow])
    pose[[6, 7]] = (180, 52), (212, 60)  # the frame ends at 216
    np.savetxt(tmp_path / "me.txt", long_armed * 2 + (200, 100))
    np.savetxt(tmp_path / "pose.txt", pose)
    said: list[str] = []
    source = Subject(tmp_path / "me.png", tmp_path / "me.txt")
    file = Subject(tmp_path / "pose.txt", units="annotation")
    prepared = prepare(source, file, NoFinder(), rescale=True, say=said.append)
    assert said[-1] == f"{file.path}: outside the picture in the source's proportions: left wrist"
    assert np.flatnonzero(missing(prepared.keypoints)).tolist() == [7]


def test_seeds_make_pictures_that_do_not_depend_on_each_other(pipe, person):
    prepared = prepare(
        Subject(person[0]), Subject(person[1], units="annotation"), NoFinder(), say=str
    )
    steps = []
    many = draw(pipe, prepared, [3, 4, 5], num_inference_steps=2, progress=steps.append)
    one = draw(pipe, prepared, [4], num_inference_steps=2)
    assert steps == [1, 2]
    near = np.asarray(many.pictures[1]).astype(int) - np.asarray(one.pictures[0])
    assert np.abs(near).max() <= 2
    assert not np.array_equal(many.pictures[0], many.pictures[1])
    assert many.best == int(np.argmax(many.scores)) and len(many.scores) == 3
    sheet = contact_sheet(many)
    width, height = many.source.size
    assert sheet.width == 5 * width and sheet.height > height
    assert np.array_equal(
        np.asarray(sheet)[:height, 2 * width : 3 * width], many.pictures[many.best]
    )


@pytest.mark.parametrize("ranking", ["tokens", "st_lpips"])
def test_the_source_is_closest_to_itself(pipe, people, ranking):
    paths = sorted((people / "img").rglob("*.jpg"))
    pictures = [np.array(Image.open(path).resize((SIZE, SIZE))) for path in paths]
    scores = closeness(pipe, pictures[0], pictures, ranking)
    assert int(np.argmax(scores)) == 0
    same = np.array([path.parent == paths[0].parent for path in paths])
    assert np.mean(scores, where=same) > np.mean(scores, where=~same)


# Weights and the command


def test_the_command_draws(saved_pipe, person, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("xmdpt.photos.people.PeopleFinder.boxes", NoFinder().__getattr__)
    out, sheet = tmp_path / "out/out.png", tmp_path / "out/sheet.jpg"
    words = ["generate", "--source", person[0], "--pose", person[1], "--pose-units", "annotation",
             "--out", out, "--weights", saved_pipe, "--steps", 2, "--num", 2]  # fmt: skip
    assert xmdpt(monkeypatch, *words, "--sheet", sheet) == 0
    assert "the best of 2: seed" in capsys.readouterr().out
    with Image.open(out) as made:
        assert made.size == (SIZE, round(SIZE * 1101 / 750)) and made.info["Software"] == MARK
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.png", "sheet.jpg"]
    assert xmdpt(monkeypatch, *words, "--no-mark") == 0
    with Image.open(out) as made:
        assert "Software" not in made.info
    said, value = both(monkeypatch, capsys, *words)
    assert said.endswith(f"wrote {value['out']}, the best of 2: seed {value['seed']}\n")
    assert max(value["closeness"], key=value["closeness"].get) == str(value["seed"])


@pytest.mark.parametrize("bad, text", [
    (["--source", "none.jpg"], "no such picture"),
    (["--pose", "none.json"], "no such key point file"),
    (["--out", "out.bmp"], "written as"),
    (["--out", "me.png"], "files you gave"),
    (["--sheet", "out.png"], "files you gave"),
    (["--out", "me.png/out.png"], "not a writable folder"),
    (["--device", "abacus"], "choose cpu"),
    (["--weights", "nowhere"], "model_index.json"),
    (["--source", "me.txt"], "must be a photo"),
    (["--pose-units", "pixels", "--pose-keypoints", "me.txt"], "leave out me.txt"),
])  # fmt: skip
def test_bad_input_is_one_line(saved_pipe, person, tmp_path, monkeypatch, capsys, bad, text):
    monkeypatch.chdir(tmp_path)
    words = {"--source": "me.png", "--pose": "me.txt", "--pose-units": "annotation",
             "--out": "out.png", "--weights": saved_pipe, "--steps": 2}  # fmt: skip
    words |= dict(zip(bad[::2], bad[1::2], strict=True))
    before = sorted(tmp_path.iterdir())
    assert xmdpt(monkeypatch, "generate", *[w for pair in words.items() for w in pair]) == 2
    error = capsys.readouterr().err
    assert text in error and error.startswith("error: ") and len(error.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_strip_that_would_fill_the_memory_is_refused(
    saved_pipe, person, tmp_path, monkeypatch, capsys
):
    Image.new("1", (100_000, 32)).save(tmp_path / "strip.png")  # 59 GB with white to the aspect
    words = ("--source", tmp_path / "strip.png", "--no-crop", "--pose", person[1])
    words += ("--pose-units", "annotation", "--out", tmp_path / "out.png", "--weights", saved_pipe)
    assert xmdpt(monkeypatch, "generate", *words) == 2
    error = capsys.readouterr().err
    assert "padded with white to 750:1101" in error and len(error.splitlines()) == 1


def test_one_step_alone_is_refused(saved_pipe, monkeypatch, capsys):
    words = ("--source", "me.png", "--pose", "me.txt", "--out", "out.png", "--weights", saved_pipe)
    assert xmdpt(monkeypatch, "generate", *words, "--steps", 1) == 2
    assert "--steps" in capsys.readouterr().err


def test_many_pictures_are_ranked_in_batches(pipe, monkeypatch):
    sizes, encode = [], pipe.encode_tokens

    def noted(kind, pictures):
        sizes.append(len(pictures))
        return encode(kind, pictures)

    monkeypatch.setattr(pipe, "encode_tokens", noted)
    shape = (BATCH + 1, SIZE, SIZE, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    scores = closeness(pipe, noise[0], [*noise], "tokens")
    assert max(sizes) <= BATCH and len(scores) == BATCH + 1 and np.argmax(scores) == 0

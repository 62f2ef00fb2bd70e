"""A source that shows no person is refused: command, page, pipeline; there a photo as pose too."""

import numpy as np
import pytest
from helpers.people import NoFinder, body, draw_person
from helpers.pictures import encoded
from PIL import Image

from xmdpt.data.keypoints import draw_skeleton
from xmdpt.data.skeletons import is_photo, is_skeleton
from xmdpt.generate import prepare
from xmdpt.photos.inputs import read_inputs
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.sources import check_source
from xmdpt.photos.subjects import Subject


def skeleton(size=(256, 176)):
    return draw_skeleton(body(0.8, (60, 5)) * [size[1] / 176, size[0] / 256], size)


def inverted_print(size=(128, 96)):
    """What is read of a CMYK file whose four inks are stored as their opposites."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    inks = picture.convert("CMYK").point(lambda value: 255 - value)
    return np.array(Image.open(_file(encoded(inks, "TIFF"))).convert("RGB"))


def _file(content):
    import io

    return io.BytesIO(content)


def noisy_white(size=(256, 176)):
    noise = np.random.default_rng(0).integers(246, 256, (*size, 3))
    return noise.astype(np.uint8)


NOBODY = {
    "white": (np.full((128, 96, 3), 255, np.uint8), "of one colour"),
    "noise of a JPEG": (noisy_white(), "of one colour"),
    "inverted CMYK": (inverted_print(), r"of one colour \(red 0, green 0, blue 0\)"),
    "skeleton": (skeleton(), "a drawn skeleton"),
    "larger skeleton": (skeleton((512, 352)), "a drawn skeleton"),
}


@pytest.mark.parametrize("name", NOBODY)
def test_no_person(name):
    picture, message = NOBODY[name]
    with pytest.raises(PhotoError, match=f"^me.png: .*{message}"):
        check_source(picture, "me.png")


def test_people_pass(tmp_path):
    draw_person(tmp_path / "small.png", tmp_path / "pose.txt", (9, 99, 199), 0)
    person = np.array(Image.open(tmp_path / "small.png"))
    dark = np.where(person == 255, np.uint8(0), person)
    far = np.full((400, 400, 3), 255, np.uint8)
    far[100:164, 100:144] = person
    for picture in (person, dark, far):
        check_source(picture, "me.png")
        assert not is_skeleton(picture)


def test_a_photo_is_no_skeleton():
    """On white, on black and as noise on grey; drawn ones pass, and what `any_source` lets pass."""
    photo = np.array(Image.open("docs/pictures/person.png").convert("RGB"))
    grey = np.random.default_rng(0).normal(128, 9, (64, 64, 3)).astype(np.uint8)
    poses = [photo, np.where(photo > 230, np.uint8(0), photo), grey]
    for pose in poses:
        with pytest.raises(PhotoError, match=r"^pose: is a photo, .* pose_finder= .* any_source"):
            read_inputs(photo, pose, 64)
        assert read_inputs(photo, pose, 64, any_source=True).count == 1
    with pytest.raises(PhotoError, match=r"^pose 2: is a photo"):
        read_inputs(photo, [body(0.2), Image.fromarray(photo)], 64)
    for size in (16, 32, 64, 256):
        drawn = draw_skeleton(body(size / 320), (size, size))
        for one in (drawn, drawn[..., ::-1], np.zeros_like(drawn)):
            assert not is_photo(one)


def test_joints_of_another_canvas_are_no_place_for_a_person(tmp_path):
    """The joints lie on a white part of the photo, so the cut is white."""
    photo = np.full((600, 800, 3), 255, np.uint8)
    photo[:, :300] = np.random.default_rng(0).integers(0, 256, (600, 300, 3))
    Image.fromarray(photo).save(tmp_path / "me.png")
    np.savetxt(tmp_path / "me.txt", body(1, (600, 150)))
    np.savetxt(tmp_path / "pose.txt", body())
    source = Subject(tmp_path / "me.png", tmp_path / "me.txt")
    with pytest.raises(PhotoError, match=r"me\.png: what is cut out .* is of one colour"):
        prepare(source, Subject(tmp_path / "pose.txt"), NoFinder(), say=lambda line: None)
    asked = {"say": lambda line: None, "any_source": True}
    taken = prepare(source, Subject(tmp_path / "pose.txt"), NoFinder(), **asked)
    assert (np.array(taken.picture) == 255).all()

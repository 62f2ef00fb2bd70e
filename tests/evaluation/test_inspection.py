"""Every result is looked at before any is scored: what is refused, and what readers are told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import xmdpt
from helpers.people import SIZE
from PIL import Image, ImageFilter

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.evaluation import evaluate_pairs
from xmdpt.evaluation.compare import compare
from xmdpt.evaluation.inspection import bars
from xmdpt.photos.marking import save_picture

WIDTH, HEIGHT = 88, 128  # DeepFashion's aspect


@pytest.fixture(autouse=True)
def offline(no_hub, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module", params=["white", "scene"])
def study(request, tmp_path_factory) -> Path:
    """References in `truth`, and results a little off them in `plain`, on white and in scenes."""
    root, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    (root / "truth").mkdir()
    (root / "plain").mkdir()
    for number in range(8):
        picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        if request.param == "scene":
            picture = rng.integers(20, 235, (HEIGHT, WIDTH, 3), np.uint8)
        left, right = 10 + 2 * number, WIDTH - 12 - number
        picture[20:110, left:right] = rng.integers(0, 200, (90, right - left, 3))
        Image.fromarray(picture).save(root / f"truth/p{number}.png")
        picture[60:64, left:right] = 99
        name = result_name(f"p{(number + 1) % 8}.png", f"p{number}.png")
        Image.fromarray(picture).save(root / "plain" / name)
    return root


def changed(study: Path, folder: Path, change) -> Path:
    """The results with every picture changed."""
    folder.mkdir(parents=True)
    for path in sorted((study / "plain").iterdir()):
        change(np.array(Image.open(path)), folder / path.name)
    return folder


def padded(colour, columns=20):
    def change(picture, path):
        sides = ((0, 0), (columns, columns), (0, 0))
        Image.fromarray(np.pad(picture, sides, constant_values=colour)).save(path)

    return change


def panels(picture, path):
    Image.fromarray(np.hstack([picture, picture])).save(path)


def square_panels(picture, path):
    """Two panels that together make a square: what was drawn, beside another picture."""
    other = np.random.default_rng(0).integers(0, 256, picture.shape, dtype=np.uint8)
    both = Image.fromarray(np.hstack([other, picture]))
    both.resize((HEIGHT, HEIGHT)).save(path)


def lying(picture, path):
    Image.fromarray(np.rot90(picture).copy()).save(path)


def turned(picture, path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(picture).copy()).save(path, exif=exif)


def square(picture, path):
    Image.fromarray(picture).resize((HEIGHT, HEIGHT)).save(path)


def web(picture, path):
    Image.fromarray(picture).save(path.with_suffix(".webp"), lossless=True)


def window(picture, path):
    Image.fromarray(picture).save(path.with_suffix(".bmp"))


def tiny(picture, path):
    Image.fromarray(picture).resize((6, 6)).save(path)


def compared(study, **folders):
    (found,) = compare(folders, study / "truth", protocols=["clean"], progress=False)
    return found


@pytest.mark.parametrize("change", [turned, web, window])
def test_other_files_of_the_same_pictures_score_the_same(change, study, tmp_path):
    other = changed(study, tmp_path / "other", change)
    found = compared(study, plain=study / "plain", other=other)
    assert found.scores["plain"] == found.scores["other"]
    assert not any("look padded" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (panels, r"are 176x128 \(width x height\), but .* are 88x128: are they strips"),
        (square_panels, r"are 128x128 \(width x height\), but .* are 88x128: are they strips"),
        (lying, r"are 128x88 \(width x height\), but their references are 88x128"),
        (tiny, "8 of 8 results are unusable: .*is 6x6 pixels; a side needs 32 or more"),
    ],
)
def test_results_that_are_refused(change, message, study, tmp_path):
    folder = changed(study, tmp_path / "other", change)
    with pytest.raises(DataError, match=message) as caught:
        evaluate_pairs(folder, study / "truth", "clean", progress=False)
    with pytest.raises(DataError, match=message):
        compared(study, plain=study / "plain", other=folder)
    assert "\n" not in str(caught.value)


def test_any_shape_is_scored_where_that_is_asked_for(study, tmp_path, monkeypatch, capsys):
    folder = changed(study, tmp_path / "other", panels)
    words = ["evaluate", folder, "--reference", study / "truth", "--protocol", "clean"]
    assert xmdpt(monkeypatch, *map(str, words)) == 2
    assert "--any-shape" in capsys.readouterr().err
    assert xmdpt(monkeypatch, *map(str, words), "--any-shape") == 0


@pytest.mark.parametrize(("colour", "name"), [(255, "white"), (0, "black")])
def test_padded_results_are_remarked_on_and_never_the_best(colour, name, study, tmp_path):
    folder = changed(study, tmp_path / "wide", padded(colour))
    alone = compared(study, wide=folder)
    [note] = [note for note in alone.notes if "look padded" in note]
    assert f"look padded: 20 {name} columns on either side in 8 of 8" in note
    both = compared(study, plain=study / "plain", wide=folder)
    assert any("are padded differently" in note for note in both.notes)
    assert not both.comparable and "**" not in both.as_markdown()


def blurred_and_padded(picture, path):
    blur = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.5))
    padded(255)(np.array(blur), path)


def test_blur_hides_no_padding(study, tmp_path):
    found = compared(study, wide=changed(study, tmp_path / "wide", blurred_and_padded))
    assert any("look padded: 20 white columns" in note for note in found.notes)


@pytest.mark.parametrize("change", [square, panels])
def test_pictures_that_are_not_padded_are_not_called_so(change, study, tmp_path):
    folder = changed(study, tmp_path / "other", change)
    with pytest.warns(UserWarning) as caught:
        evaluate_pairs(folder, study / "truth", "pidm", any_shape=True, progress=False)
    assert not any("look padded" in str(warning.message) for warning in caught)


def test_padded_references_are_remarked_on(study, tmp_path):
    wide = changed(study, tmp_path / "wide", padded(255))
    (tmp_path / "truth").mkdir()
    for path in (study / "truth").iterdir():
        padded(255)(np.array(Image.open(path)), tmp_path / "truth" / path.name)
    (found,) = compare({"wide": wide}, tmp_path / "truth", protocols=["clean"], progress=False)
    [note] = [note for note in found.notes if "look padded" in note]
    assert note.startswith(f"references in {tmp_path / 'truth'} look padded: ")
    assert "white columns on either side in 8 of 8" in note


def test_our_own_mark_is_remarked_on(study, tmp_path):
    def marked(picture, path):
        save_picture(Image.fromarray(picture), path)

    def unmarked(picture, path):
        save_picture(Image.fromarray(picture), path, mark=False)

    for change, count in ((marked, 1), (unmarked, 0)):
        found = compared(study, some=changed(study, tmp_path / change.__name__, change))
        notes = [note for note in found.notes if "generated by xmdpt" in note]
        assert len(notes) == count
        assert all(note.startswith("8 of 8 results in") for note in notes)


def test_all_broken_results_of_all_methods_are_named_in_one_run(people, tmp_path):
    """The first ten of each method, and how many more there are."""
    data = DeepFashion(people, SIZE)
    for method, count in (("a", 3), ("b", 1)):
        (tmp_path / method).mkdir()
        for number, (source, target) in enumerate(data.pairs("test")):
            path = tmp_path / method / result_name(source, target)
            Image.fromarray(data.picture(target)).save(path)
            if number < count:
                path.write_bytes(path.read_bytes()[:300])
    folders = {name: tmp_path / name for name in "ab"}
    with pytest.raises(DataError) as caught:
        list(compare(folders, people, protocols=["clean"], progress=False))
    text = str(caught.value)
    assert text.startswith("3 of 6 results are unusable: ") and text.count(".png: ") == 4
    assert "; and " in text and "\n" not in text


def test_of_many_broken_results_ten_are_named(study, tmp_path):
    folder = Path(shutil.copytree(study / "plain", tmp_path / "many"))
    for source in "abc":
        for path in (study / "plain").iterdir():
            (folder / path.name.replace("p", source, 1)).write_bytes(b"broken")
    shutil.copytree(study / "truth", tmp_path / "truth")
    with pytest.raises(
        DataError, match=r"^24 of 32 results are unusable: .*; and 14 more$"
    ) as caught:
        evaluate_pairs(folder, study / "truth", "clean", progress=False)
    assert str(caught.value).count("unknown format") == 10


def test_bars():
    picture = np.full((40, 50, 3), 255, np.uint8)
    assert bars(picture) == ("white", 1.0, 1.0)
    picture[3, 10:45] = 100
    assert bars(picture) == ("white", 0.2, 0.1)
    assert bars(255 - picture) == ("black", 0.2, 0.1)

"""`xmdpt evaluate`: methods side by side, what is missing, what is kept, what is refused."""

import importlib.metadata
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.commands import xmdpt
from helpers.people import SIZE
from PIL import Image

from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.data.prepare import make_index
from xmdpt.data.survey import survey
from xmdpt.evaluation import evaluate, features, shards
from xmdpt.evaluation.compare import Comparison, compare, named
from xmdpt.evaluation.evaluate import training_statistics
from xmdpt.evaluation.protocols import PIDM
from xmdpt.features.encoders import EfficientNetTokens
from xmdpt.metrics.labels import METRICS, best_values
from xmdpt.support.files import code_key


@pytest.fixture(scope="module")
def methods(people, tmp_path_factory) -> Path:
    """Two methods' results for each of the 6 test pairs: the target with little and much noise."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("methods")
    data, rng = DeepFashion(people, SIZE), np.random.default_rng(0)
    for name, spread in (("fine", 4), ("coarse", 40)):
        (root / name).mkdir()
        for source, target in data.pairs("test"):
            noisy = data.picture(target) + rng.normal(0, spread, (SIZE, SIZE, 3))
            picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            picture.save(root / name / result_name(source, target))
    return root


@pytest.fixture
def copies(methods, tmp_path) -> Path:
    """The two methods' results, to be spoiled."""
    return Path(shutil.copytree(methods, tmp_path / "methods"))


@pytest.fixture(autouse=True)
def offline(no_hub, tmp_path, monkeypatch):
    """No weights but those in packages, and no statistics kept by others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def compare_pixels(folders: dict[str, Path], reference: Path, **options) -> Comparison:
    """Under PIDM's rules, whose networks are not there: SSIM and PSNR alone."""
    (found,) = compare(folders, reference, protocols=["pidm"], progress=False, **options)
    return found


def test_two_methods_under_two_protocols(people, methods, tmp_path, monkeypatch, capsys):
    words = ["evaluate", methods / "fine", methods / "coarse", "--reference", people]
    words += ["--train", people, "--protocol", "synthetic", "--protocol", "pidm"]
    words += ["--json", tmp_path / "scores.json", "--table", tmp_path / "scores.md"]
    assert xmdpt(monkeypatch, *map(str, words)) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (tmp_path / "scores.md").read_text().strip()
    found = json.loads((tmp_path / "scores.json").read_text())
    assert set(found) == {"synthetic", "pidm"}
    fine, coarse = (found["synthetic"]["scores"][name] for name in ("fine", "coarse"))
    direct = evaluate(methods / "fine", people, people, "synthetic", progress=False)
    for key, value in direct.items():
        assert fine[key] == pytest.approx(value, rel=1e-4), key
    assert fine["ssim"] > coarse["ssim"] and fine["fd_effnet"] < coarse["fd_effnet"]
    _, best = best_values(found["synthetic"]["scores"], METRICS)
    assert best == {key: fine[key] for key in best} and {"kd_effnet", "psnr"} <= best.keys()
    assert all(fine["low"][key] <= fine[key] <= fine["high"][key] for key in fine["low"])
    assert f"**{fine['ssim']:.3f}**" in printed and "| coarse" in printed

    assert found["synthetic"]["protocol"]["ssim"][0]["sigma"] == 1.2
    used = found["synthetic"]["used"]["fd_effnet"]
    assert used == {"fine": 6, "coarse": 6, "training": 9}
    assert found["pidm"]["versions"]["numpy"] == importlib.metadata.version("numpy")

    pidm = found["pidm"]
    assert set(pidm["scores"]["fine"]) == {"ssim", "psnr", "count", "low", "high"}
    for file in ("alexnet-owt-7be5be79.pth", "inception_v3_google-0cc3c7bd.pth"):
        assert any(file in note and "is left out" in note for note in pidm["notes"])
    assert any("64x64" in note and "256x256" in note for note in pidm["notes"])


def test_methods_are_scored_on_the_pairs_they_share(people, copies):
    folders = {name: copies / name for name in ("fine", "coarse")}
    for path in sorted(folders["coarse"].iterdir())[:2]:
        path.unlink()
    shared = compare_pixels(folders, people)
    assert [row["count"] for row in shared.scores.values()] == [4, 4]
    text = " ".join(shared.notes)
    assert "(fine 6, coarse 4): all are scored on the 4 that they share" in text
    assert f"2 of 6 test pairs have no result in {folders['coarse']}: fashion" in text
    own = compare_pixels(folders, people, own_pairs=True)
    assert [row["count"] for row in own.scores.values()] == [6, 4]
    assert "rows do not compare" in " ".join(own.notes) and not own.comparable
    assert shared.scores["coarse"]["ssim"] == own.scores["coarse"]["ssim"]


def test_pairs_may_be_chosen(people, copies, tmp_path):
    lines = (people / "test_pairs.txt").read_text().splitlines()
    chosen = tmp_path / "test_pairs.txt"
    chosen.write_text("\n".join(lines[:2]) + "\n")
    Image.new("RGB", (SIZE, SIZE)).save(copies / "fine/grid.png")
    found = compare_pixels({"fine": copies / "fine"}, people, pairs_file=chosen)
    assert found.scores["fine"]["count"] == 2
    text = " ".join(found.notes)
    assert "4 results in" in text and "belong to no test pair" in text
    assert "1 pictures in" in text and "are not named" in text and "grid.png" in text


def test_an_index_tells_the_pairs_that_have_no_result(people, copies, tmp_path):
    make_index(survey(people, SIZE), tmp_path / "index", progress=iter)
    for path in sorted((copies / "fine").iterdir())[:2]:
        path.unlink()
    found = compare_pixels({"fine": copies / "fine"}, tmp_path / "index")
    assert found.scores == compare_pixels({"fine": copies / "fine"}, people).scores
    assert any(note.startswith("2 of 6 test pairs have no result in") for note in found.notes)


def test_what_a_dropped_batch_leaves_is_told(people, methods, saved_networks):
    perceptual = replace(PIDM.perceptual[0], batch_size=4)
    rules = replace(PIDM, perceptual=(perceptual,), frechet=())
    weights = saved_networks / "hub/checkpoints"
    fine = {"fine": methods / "fine"}
    (found,) = compare(fine, people, protocols=[rules], weights=weights, progress=False)
    assert found.scores["fine"]["count"] == 6 and found.scores["fine"]["lpips"] > 0
    assert found.used == {"lpips": {"fine": 4}}
    assert "* pictures of lpips: fine: 4\n" in found.as_markdown()


def test_methods_of_different_sizes_are_remarked_on(people, copies):
    for path in (copies / "coarse").iterdir():
        Image.open(path).resize((33, 48)).save(path)
    folders = {name: copies / name for name in ("fine", "coarse")}
    own, square = compare(folders, people, protocols=["clean", "pidm"], progress=False)
    assert "**" not in own.as_markdown() and "**" in square.as_markdown(), "nothing is the best"
    assert any("(fine 64x64, coarse 33x48): rows do not compare" in note for note in own.notes)
    assert not any("rows do not compare" in note for note in square.notes)  # all at 256x256


def test_small_references_are_remarked_on(people, methods):
    notes = compare_pixels({"fine": methods / "fine"}, people).notes
    assert (
        f"references in {people} are 44x64 (width x height); protocol 'pidm' scores 256x256: "
        "they are enlarged"
    ) in notes
    (own,) = compare({"fine": methods / "fine"}, people, protocols=["clean"], progress=False)
    assert not any("enlarged" in note for note in own.notes)  # the results' size


def test_methods_are_named_after_what_tells_them_apart(tmp_path):
    paths = [tmp_path / part for part in ("a/main", "b/main", "c")]
    for path in paths:
        path.mkdir(parents=True)
    assert list(named(paths[:1])) == ["main"]
    assert list(named(paths[:2])) == [str(Path("a/main")), str(Path("b/main"))]
    with pytest.raises(DataError, match="given twice"):
        named([paths[2], paths[2] / "../c"])


def test_training_statistics_are_kept_by_content(people, tmp_path, monkeypatch):
    train, cache = tmp_path / "train", tmp_path / "kept"
    shutil.copytree(people / "img", train)
    seen, pooled = [], EfficientNetTokens.pooled
    monkeypatch.setattr(
        EfficientNetTokens, "pooled", lambda self, x: seen.append(len(x)) or pooled(self, x)
    )

    def made(folder):
        """How many pictures passed the network, and what came out."""
        seen.clear()
        found = training_statistics(
            folder, "synthetic", (SIZE, SIZE), cache_dir=cache, progress=False
        )
        return sum(seen), found["fd_effnet"]

    count, first = made(train)
    assert count == len(first.features) == 12
    count, again = made(train.rename(tmp_path / "moved"))  # another place, the same bytes
    assert count == 0
    np.testing.assert_array_equal(again.features, first.features)
    for a, b in zip(again.moments, first.moments, strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.within == first.within
    (file,) = cache.iterdir()
    flipped = bytearray(file.read_bytes())
    flipped[-1] ^= 1
    for damaged in (b"damaged", bytes(flipped)):
        file.write_bytes(damaged)
        count, anew = made(tmp_path / "moved")
        assert count == 12 and anew.within == pytest.approx(first.within)
    picture = sorted((tmp_path / "moved").rglob("*.jpg"))[0]
    Image.new("RGB", (44, 64), "red").save(picture)
    count, other = made(tmp_path / "moved")
    assert count == 12 and len(list(cache.iterdir())) == 2
    assert other.within != first.within
    monkeypatch.setattr("xmdpt.evaluation.features.code_key", lambda *patterns: "another")
    assert made(tmp_path / "moved")[0] == 12 and len(list(cache.iterdir())) == 3


def test_the_code_that_keys_name_is_there():
    package = Path(features.__file__).parents[1]
    assert all([*package.glob(pattern)] for pattern in (*features.CODE, *shards.CODE))
    assert code_key(*features.CODE) == code_key(*features.CODE[::-1]) != code_key(*shards.CODE)


# What is refused


def rename_all(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"picture{number}.png")


def cut_short(folder: Path) -> None:
    path = sorted(folder.iterdir())[0]
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()
    whole = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").write_bytes(whole[: len(whole) // 2])


def shrink_one(folder: Path) -> None:
    path = sorted(folder.iterdir())[3]
    Image.open(path).resize((32, 48)).save(path)


def make_strips(folder: Path) -> None:
    for path in folder.iterdir():
        Image.open(path).resize((3 * SIZE, SIZE)).save(path)


def double_one(folder: Path) -> None:
    path = sorted(folder.iterdir())[0]
    shutil.copy(path, folder / path.name.replace("_vis", ""))


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    "spoil, words",
    [
        (rename_all, "has its reference in"),
        (cut_short, ".jpg"),
        (shrink_one, "is 32x48"),
        (make_strips, "strips of several pictures"),
        (double_one, "are results of one pair"),
        (empty, "has its reference in"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_bad_results_are_one_line(people, copies, tmp_path, monkeypatch, capsys, spoil, words):
    spoil(copies / "coarse")
    refused(monkeypatch, capsys, people, copies, tmp_path, words)


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("--protocol", "pdim", "'pdim' is not one of pidm, cfld"),
        ("--weights", "nowhere", "no such folder"),
        ("--pairs", "nowhere.txt", "no such file"),
        ("--train", "nowhere", "no such folder"),
        ("--train", ".", "needs two training pictures"),
        ("--reference", "nowhere", "no such folder"),
        ("--table", ".", "is a folder"),
        ("--table", "a file/scores.md", "not a writable folder"),
        ("--device", "cude", "--device cude: not available here; choose cpu"),
    ],
)
def test_bad_options_are_one_line(
    people, copies, tmp_path, monkeypatch, capsys, option, value, words
):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "a file").touch()
    monkeypatch.chdir(bare)
    refused(monkeypatch, capsys, people, copies, tmp_path, words, option, value)


def test_a_damaged_reference_is_one_line(people, copies, tmp_path, monkeypatch, capsys):
    root = Path(shutil.copytree(people, tmp_path / "people"))
    (name, *_) = (root / "test.lst").read_text().split()
    (root / name).write_bytes((root / name).read_bytes()[:400])
    refused(monkeypatch, capsys, root, copies, tmp_path, Path(name).name)


def refused(monkeypatch, capsys, people, copies, tmp_path, words, *options) -> None:
    """One line with `words`, exit code 2, and no file."""
    scores = tmp_path / "scores.json"
    command = ["evaluate", copies / "fine", copies / "coarse", "--json", scores]
    command += [*([] if "--reference" in options else ["--reference", people]), *options]
    assert xmdpt(monkeypatch, *map(str, command)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    *others, error = lines
    assert error.startswith("error: ") and words in error
    assert all(line.startswith("Downloading: ") for line in others)  # torch.hub's attempts
    assert not scores.exists()


def test_the_named_cache_can_be_used_again(people, methods, tmp_path, monkeypatch):
    words = ["evaluate", methods / "fine", "--reference", people, "--train", people]
    words += ["--protocol", "synthetic", "--cache", tmp_path / "kept"]
    for _ in range(2):
        assert xmdpt(monkeypatch, *map(str, words)) == 0
    assert {path.parent.name for path in (tmp_path / "kept").rglob("*.safetensors")} == {
        "statistics"
    }

"""What a survey finds and asks for, the index it ends in, and what the two sets share."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.datasets import (
    BAD,
    FORMATS,
    everyone,
    write_highres,
    write_lmdb,
    write_pair_tables,
    write_patn,
)
from helpers.people import draw_person, write_dataset
from PIL import ExifTags, Image

from xmdpt.cli import main
from xmdpt.config import DataConfig, load_config
from xmdpt.data.deepfashion import DataError, DeepFashion, read_picture
from xmdpt.data.overlap import (
    closest_across,
    near_across,
    near_pairs,
    overlap_of,
    shared_names,
    thumbnail,
)
from xmdpt.data.pairs import result_name
from xmdpt.data.prepare import make_index, overlap_tables
from xmdpt.data.survey import EXPECTED, survey
from xmdpt.evaluation import evaluate
from xmdpt.evaluation.baselines import write_baselines
from xmdpt.evaluation.results import Picture, References, match_results, training_pictures
from xmdpt.features.cache import FeatureCache
from xmdpt.features.encoders import make_encoder
from xmdpt.features.make import Encoders, cache_features

SIZE = 64
SPLITS = ("train", "test")
NAME = "img/WOMEN/Tees_Tanks/id_00000000/01_0_front.jpg"
TEST_NAME = "img/WOMEN/Tees_Tanks/id_00000003/01_0_front.jpg"


@pytest.fixture
def people(tmp_path):
    return write_dataset(tmp_path / "people")


def found_numbers(found):
    return {line.what: line.found for line in found.findings}


def index_of(root, out, size=SIZE):
    make_index(survey(root, size), out, progress=iter)
    return DeepFashion(out, size)


# Survey


def test_a_whole_set_is_counted(people):
    found = survey(people, SIZE)
    assert found.missing == []
    assert found_numbers(found) == {
        "pictures": 12, "train pictures": 9, "test pictures": 3, "train pairs": 18,
        "test pairs": 6, "key points": 12, "joints": 18,
    }  # fmt: skip
    assert {line.what: line.expected for line in found.findings} == EXPECTED
    text = str(found)
    for number in ("52,712", "48,674", "4,038", "101,966", "8,570", "18"):
        assert number in text
    joints = text.split("joints")[1].splitlines()[0]
    assert "differs" in text and "differs" not in joints


def test_what_is_missing_is_named_with_where_to_get_it_and_to_put_it(tmp_path):
    found = survey(tmp_path / "deepfashion", 256)
    text = str(found)
    assert len(found.missing) == 4
    for part in (
        "img_highres.zip", "InShopRetrieval", "non-commercial", "password", "pose.rar",
        "train_pairs.txt", "test_pairs.txt", f"{tmp_path}/deepfashion/256-256/",
        f"{tmp_path}/deepfashion/img_highres/WOMEN", f"{tmp_path}/deepfashion/pose/WOMEN",
    ):  # fmt: skip
        assert part in text, part
    with pytest.raises(DataError, match=r"missing: pictures; train pairs; ") as caught:
        make_index(found, tmp_path / "index", progress=iter)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "index").exists()


def test_a_folder_that_is_not_there_is_said_not_to_be(tmp_path):
    found = survey(tmp_path / "deepfasion", 256)
    assert "there is no such folder" in str(found)
    with pytest.raises(DataError, match=r"missing: pictures; .*says where to get it"):
        found.require()


@pytest.mark.parametrize("part", ["img", "pose", "test_pairs.txt"])
def test_one_missing_part(part, people):
    path = people / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (cure,) = survey(people, SIZE).missing
    assert cure.startswith({"img": "pictures", "pose": "key points"}.get(part, "test pairs"))


@pytest.mark.parametrize(
    ("path", "what"), [(NAME, "picture file"), (f"pose{NAME[3:-3]}txt", "key points")]
)
def test_pairs_that_name_a_missing_picture(path, what, people, tmp_path):
    (people / path).unlink()
    found = survey(people, SIZE)
    assert found.missing == [
        f"1 pictures that train pairs name have no {what}: {NAME}; copy them anew, or take the "
        "pairs out"
    ]
    with pytest.raises(DataError, match=f"have no {what}: {NAME}"):
        make_index(found, tmp_path / "index")


def test_a_listed_picture_that_no_pair_needs_is_left_out(people):
    with open(people / "train.lst", "a") as file:
        file.write("img/WOMEN/Tees_Tanks/id_00000099/01_1_front.jpg\n")
    found = survey(people, SIZE)
    assert found.missing == []
    assert len(found.pictures["train"]) == 9
    assert found_numbers(found)["train pictures"] == 10
    assert any("1 train pictures have no picture file" in note for note in found.notes)


def test_a_paired_picture_that_no_list_names_is_added(people):
    lines = (people / "train.lst").read_text().split()
    (people / "train.lst").write_text("\n".join(lines[1:]))
    found = survey(people, SIZE)
    assert found.pictures["train"] == [*lines[1:], lines[0]]
    assert any("not in train.lst" in note for note in found.notes)


def test_remarks_on_a_lmdb(people):
    names = everyone(DeepFashion(people, SIZE))
    write_lmdb(people / "96-64", people, names)
    shutil.rmtree(people / "img")
    notes = " ".join(survey(people, SIZE).notes)
    assert "96-64 is resized a second time, to 64x64" in notes


def test_pairs_in_two_files_that_differ(people):
    data = DeepFashion(people, SIZE)
    write_pair_tables(people, data, "fasion-resize-pairs-{}.csv", str)
    assert survey(people, SIZE).notes == []
    (people / "fasion-resize-pairs-test.csv").write_text(f"from,to\n{NAME},{NAME}\n")
    (note,) = survey(people, SIZE).notes
    assert "fasion-resize-pairs-test.csv names other pairs than test_pairs.txt" in note


def own_names(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw_person(tmp_path / name, tmp_path / "pose" / f"{name[:-3]}txt", (9, 99, 199), 0)
    for split in SPLITS:
        (tmp_path / f"pairs-{split}.csv").write_text(f"from,to\n{names[0]},{names[1]}\n")
    return survey(tmp_path, SIZE)


def test_names_of_ones_own(tmp_path):
    found = own_names(tmp_path / "good", ["anna/a1.png", "anna/a2.png"])
    assert found.missing == []
    assert {line.expected for line in found.findings} == {None}  # not held against DeepFashion
    (cure,) = own_names(tmp_path / "twice", ["anna/1.png", "bert/1.png"]).missing
    assert "anna/1.png and bert/1.png" in cure
    assert own_names(tmp_path / "numbered", ["anna_1.png", "anna_2.png"]).missing == []


@pytest.mark.parametrize("name", ["anna/1.jpg.jpg", "../anna/1.png"])
def test_names_that_cannot_be_used(name, tmp_path):
    (cure,) = own_names(tmp_path / "set", [name, "anna/3.png"]).missing
    assert f" for {name}" in cure


@pytest.mark.parametrize("name", ["photos/a,1.png", "photos/a.png "])
def test_names_that_a_list_would_not_give_back(name, tmp_path):
    own_names(tmp_path, ["photos/b.png", "photos/c.png"])
    (tmp_path / "photos/b.png").rename(tmp_path / name)
    (tmp_path / "pairs-train.csv").write_text(f'to, from\nphotos/c.png, "{name}"\n')
    assert any("without commas" in cure for cure in survey(tmp_path, SIZE).missing)


def test_a_table_without_pairs(people):
    (people / "train_pairs.txt").write_text("\n")
    assert any("train_pairs.txt names none" in cure for cure in survey(people, SIZE).missing)


def command(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error of the command line."""
    monkeypatch.setattr("sys.argv", ["xmdpt", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, *capsys.readouterr()


def test_command(people, monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, "survey", people, "--size", 64, "--read")
    assert code == 0 and "101,966" in out and "12 pictures are readable" in out
    (people / NAME).write_bytes((people / NAME).read_bytes()[:600])
    code, _, err = command(monkeypatch, capsys, "survey", people, "--size", 64, "--read")
    assert code == 2 and f"error: {people / NAME}: not a readable picture" in err
    (people / "train_pairs.txt").unlink()
    code, out, err = command(monkeypatch, capsys, "survey", people)
    assert code == 2 and "MISSING train pairs" in out
    assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("name", BAD)
def test_bad_files_end_the_command_in_one_line(name, people, tmp_path, monkeypatch, capsys):
    spoil, _, _ = BAD[name]
    spoil(people)
    before = sorted(path for path in tmp_path.rglob("*"))
    code, _, err = command(monkeypatch, capsys, "survey", people, "--size", SIZE, "--read")
    *bars, error = err.splitlines()
    assert code == 2 and error.startswith(f"error: {people}")
    assert not any("error" in line or "Traceback" in line for line in bars)
    assert sorted(path for path in tmp_path.rglob("*")) == before


# Index


def write_both(root, people, data):
    """JPEGs, and the LMDB that tools made of them."""
    write_highres(root, people, data)
    write_lmdb(root / "64-64", people, everyone(data))


@pytest.mark.parametrize("write", [*FORMATS.values(), write_both], ids=[*FORMATS, "both"])
def test_an_index_reads_as_what_it_tells_of(write, people, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw, people, DeepFashion(people, SIZE))
    before = sorted((path, path.stat().st_mtime_ns) for path in raw.rglob("*"))
    data, index = DeepFashion(raw, SIZE), index_of(raw, tmp_path / "index")
    assert before == sorted((path, path.stat().st_mtime_ns) for path in raw.rglob("*"))
    for split in SPLITS:
        assert index.pictures(split) == data.pictures(split)
        assert index.pairs(split) == data.pairs(split)
    for name in everyone(data):
        assert np.array_equal(index.picture(name), data.picture(name))
        assert np.array_equal(index.keypoints(name), data.keypoints(name))
        assert index.digest(name) == data.digest(name)
    for one in training_pictures(index.root):  # which an index need not read for it
        assert one.known_digest == Picture(one.store, one.name).digest() == one.digest()
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert names == {
        "dataset.json", "pictures.tsv", "keypoints.npz", "survey.json", "overlap.json",
        "train.lst", "test.lst", "train_pairs.txt", "test_pairs.txt",
    }  # fmt: skip


def test_an_index_changes_with_a_picture_and_with_a_joint(people, tmp_path):
    def content():
        index_of(people, tmp_path / "index")
        return {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}

    first = content()
    assert content() == first
    shutil.copy(people / NAME, people / TEST_NAME)
    second = content()
    assert second["pictures.tsv"] != first["pictures.tsv"]
    path = people / f"pose{NAME[3:-3]}txt"
    joints = np.loadtxt(path)
    joints[0] += 1
    np.savetxt(path, joints)
    assert content()["keypoints.npz"] != second["keypoints.npz"]


def test_a_relative_index_moves_with_the_project(people, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    shutil.move(people, project / "raw")
    monkeypatch.chdir(project)
    index_of("raw", "data/index")
    monkeypatch.chdir("/")
    project.rename(tmp_path / "moved")
    assert DeepFashion(tmp_path / "moved/data/index", SIZE).picture(NAME).shape == (SIZE, SIZE, 3)


def test_an_index_whose_pictures_went_away(people, tmp_path):
    index = index_of(people, tmp_path / "index")
    people.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"people: no such folder, but .* is its index"):
        DeepFashion(index.root, SIZE).picture(NAME)
    (index.root / "keypoints.npz").unlink()
    with pytest.raises(DataError, match="not a whole index"):
        DeepFashion(index.root, SIZE).picture(NAME)


def test_unreadable_pictures_are_named_and_the_old_index_stays(people, tmp_path):
    index = index_of(people, tmp_path / "index").root
    before = (index / "pictures.tsv").read_bytes()
    for name in (NAME, TEST_NAME):
        content = (people / name).read_bytes()
        (people / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"truncated.*and 1 more.*truncated"):
        index_of(people, tmp_path / "index")
    assert (index / "pictures.tsv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []


def test_a_folder_of_somebody_elses_is_not_replaced(people, tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index/precious").touch()
    with pytest.raises(DataError, match="something else than the index"):
        index_of(people, tmp_path / "index")
    assert (tmp_path / "index/precious").exists()


def test_folders_that_are_links_are_remarked_on(people, tmp_path):
    assert not any("a link" in note for note in survey(people, SIZE).notes)
    linked = tmp_path / "linked"
    shutil.copytree(people, linked, ignore=shutil.ignore_patterns("img"))
    (linked / "img").symlink_to(people / "img")
    (note,) = [note for note in survey(linked, SIZE).notes if "a link" in note]
    assert note.startswith("img: ") and "dvc repro --force prepare" in note


def test_low_resolution_deepfashion_is_refused(people, tmp_path):
    for path in people.rglob("*.jpg"):
        padded = Image.new("RGB", (256, 256), "white")
        padded.paste(Image.open(path).resize((176, 256)), (40, 0))
        padded.save(path)
    with pytest.raises(DataError, match="low-resolution"):
        index_of(people, tmp_path / "index")


def test_own_cutouts_on_white_are_nobodys_low_resolution(tmp_path):
    own_names(tmp_path / "mine", ["a.png", "b.png"])
    for path in (tmp_path / "mine").glob("*.png"):
        padded = Image.new("RGB", (256, 256), "white")
        padded.paste(Image.open(path).resize((176, 256)), (40, 0))
        padded.save(path)
    make_index(survey(tmp_path / "mine", SIZE), tmp_path / "index", progress=iter)
    assert DeepFashion(tmp_path / "index", SIZE).pictures("train") == ["a.png", "b.png"]


def test_pictures_that_ask_to_be_turned_are_refused(people, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(people / NAME).save(people / NAME, exif=exif)
    with pytest.raises(DataError, match=f"{NAME}: its EXIF asks"):
        index_of(people, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def write_points(people, change):
    for path in (people / "pose").rglob("*.txt"):
        points = np.loadtxt(path)
        points[:14] = change(points[:14])
        np.savetxt(path, points)


def test_joints_of_other_pictures_are_refused(people, tmp_path):
    write_points(people, lambda points: points * 3)  # pixels of larger ones
    with pytest.raises(DataError, match=r"\d\d% of the joints lie outside their pictures"):
        index_of(people, tmp_path / "index")


def test_missing_joints_as_zeros_are_refused(people, tmp_path):
    def zeros(points):
        points[4:6] = [40, 0]  # of the picture the upper left
        return points

    write_points(people, zeros)
    with pytest.raises(DataError, match="12 of 12 pictures have a joint at exactly 0, 0"):
        index_of(people, tmp_path / "index")


def test_settings_of_a_set_that_exists(people, tmp_path):
    DataConfig(root=str(tmp_path / "index"), raw=str(people), size=64)
    with pytest.raises(ValueError, match="cannot share a folder"):
        DataConfig(root=str(people / "index"), raw=str(people), size=64)


# Later stages


@pytest.fixture
def lmdb_index(people, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    write_lmdb(raw / "64-64", people, everyone(DeepFashion(people, SIZE)))
    for name in ("pose", "train_pairs.txt", "test_pairs.txt"):
        path = people / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, raw / name)
    return index_of(raw, tmp_path / "index")


def test_features_of_a_lmdb_equal_those_of_its_files(people, lmdb_index, tiny_vae, tmp_path):
    names = lmdb_index.pictures("test")
    encoder = make_encoder("efficientnet_lite0")
    settings = load_config("profiles/smoke.yaml").features
    for folder, data in (("a", DeepFashion(people, SIZE)), ("b", lmdb_index)):
        encoders = Encoders(tiny_vae, encoder, encoder)
        cache_features(tmp_path / folder, names, data, encoders, settings, iter)
    files, from_lmdb = FeatureCache(tmp_path / "a"), FeatureCache(tmp_path / "b")
    assert files.rows == from_lmdb.rows
    rows, flips = np.arange(len(names)), np.arange(len(names)) % 2
    for name in ("moments", "source_tokens", "pose_tokens"):
        assert torch.equal(files.read(name, rows, flips), from_lmdb.read(name, rows, flips))


@pytest.mark.filterwarnings("ignore:.*has no train.lst")
def test_every_layout_gives_the_same_scores(people, lmdb_index, tmp_path):
    """References and training pictures as files, under an index, in an LMDB, and mangled."""
    data = DeepFashion(people, SIZE)
    write_patn("fasion", "fasion-annotation-{}.csv", lambda p: p)(tmp_path / "flat", people, data)
    roots = [people, index_of(people, tmp_path / "files").root, lmdb_index.raw.parent]
    roots += [lmdb_index.root, tmp_path / "flat"]
    made = write_baselines(tmp_path / "made", data, data.pairs("test"))["copy_source"]
    scores = [evaluate(made, root, root, "synthetic", progress=False) for root in roots]
    assert scores[0]["count"] == 6 and "fd_effnet" in scores[0]
    assert scores[1:] == [scores[0]] * 4
    one = evaluate(made, lmdb_index.raw, people, "synthetic", progress=False)  # the LMDB itself
    assert one == scores[0]
    with pytest.raises(DataError, match=r"64-64: no train\.lst says which"):
        training_pictures(lmdb_index.raw)


def test_names_of_ones_own_are_found_under_an_index(tmp_path):
    own_names(tmp_path / "raw", ["anna/a1.png", "anna/a2.png"])
    index = index_of(tmp_path / "raw", tmp_path / "index")
    found = References(index.root).find("a2")
    assert np.array_equal(found.read(), read_picture(tmp_path / "raw/anna/a2.png"))
    assert References(index.root).find("a3") is None
    with open(index.root / "test.lst", "a") as file:
        file.write("bert/a2.png\n")
    with pytest.raises(DataError, match=r"cannot tell anna/a2\.png from bert/a2\.png"):
        References(index.root).find("a2")


def test_folders_tell_people_apart_where_there_are_several(tmp_path):
    own_names(tmp_path / "raw", ["anna/a1.png", "anna/a2.png", "bert/b1.png", "bert/b2.png"])
    pairs = [
        ("anna/a1.png", "anna/a2.png"),
        ("anna/a2.png", "anna/a1.png"),
        ("bert/b1.png", "bert/b2.png"),
    ]
    lines = ["from,to", *map(",".join, pairs)]
    (tmp_path / "raw/pairs-test.csv").write_text("\n".join(lines) + "\n")
    index = index_of(tmp_path / "raw", tmp_path / "index")
    made = tmp_path / "made"
    made.mkdir()
    for source, target in pairs:
        shutil.copy(tmp_path / "raw" / target, made / result_name(source, target))
    assert [one.person for one in match_results(made, index.root)] == ["anna", "anna", "bert"]
    (made / result_name(*pairs[-1])).unlink()
    assert [one.person for one in match_results(made, index.root)] == ["a1", "a2"]


def test_references_come_from_the_lmdb_of_the_size_that_is_scored(people, tmp_path):
    for name in ("64-44", "64-64", "128-88"):
        write_lmdb(tmp_path / "set" / name, people, everyone(DeepFashion(people, SIZE)))
    sizes = {(64, 64): (64, 64), (64, 44): (64, 44), (96, 96): (128, 88), (256, 176): (128, 88)}
    assert {size: References(tmp_path / "set", size).store.size for size in sizes} == sizes
    references = References(tmp_path / "set", (64, 64))
    with pytest.raises(DataError, match="holds no picture stranger"):
        references.require("stranger")


def test_without_a_list_the_training_pairs_say_who_trains(people, tmp_path):
    """Not all pictures that lie there: those of the test set are no training pictures."""
    listed = [one.name for one in training_pictures(people)]
    (people / "train.lst").unlink()
    with pytest.warns(
        UserWarning, match=r"no train\.lst: training pictures are the 9 of its pairs"
    ):
        assert [one.name for one in training_pictures(people)] == listed


# Overlap


def test_shared_names():
    def name(number, colour, view="1_front"):
        return f"img/MEN/Tees_Tanks/id_{number:08d}/{colour:02d}_{view}.jpg"

    train = [name(1, 1), name(2, 1), name(2, 2)]
    test = [name(1, 2), name(3, 1), name(2, 1, "2_side")]
    shared = shared_names(train, test)
    assert shared["pictures"] == ([], 3)
    assert shared["outfits"] == (["MEN/Tees_Tanks/00000002/01"], 3)
    assert shared["items"] == (["id_00000001", "id_00000002"], 3)


def pictures_in_grey():
    """Noise of 64x64, the same through JPEG's eyes, and other noise."""
    noise = np.random.default_rng(0).integers(0, 250, (3, 64, 64, 3)).astype(np.uint8)
    return {"a": noise[0], "a again": noise[0] + (noise[0] % 2), "b": noise[1], "c": noise[2]}


def test_nearly_the_same_pictures_are_found():
    pictures = pictures_in_grey()
    thumbnails = {name: thumbnail(Image.fromarray(p)) for name, p in pictures.items()}
    pairs = [("a", "b"), ("a", "a again"), ("b", "c"), ("a again", "a")]
    expected = round(float((pictures["a"] % 2).mean()), 3)
    found = near_pairs(pairs, thumbnails, pictures.get)
    assert found == [("a", "a again", expected), ("a again", "a", expected)]
    across = near_across(["b", "a"], ["c", "a again"], thumbnails, pictures.get)
    assert across == [("a", "a again", expected)]


def test_alike_in_small_is_not_enough():
    """A checkerboard has the thumbnail of flat grey."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    pictures = {
        "board": np.repeat(board[..., None], 3, axis=2).astype(np.uint8),
        "grey": np.full((64, 64, 3), 128, np.uint8),
    }
    thumbnails = {name: thumbnail(Image.fromarray(p)) for name, p in pictures.items()}
    assert np.abs(thumbnails["board"].astype(int) - thumbnails["grey"]).max() <= 1
    assert near_pairs([("board", "grey")], thumbnails, pictures.get) == []
    assert near_across(["board"], ["grey"], thumbnails, pictures.get) == []


def test_the_nearest_training_picture_is_found_once_for_each_test_picture():
    train = {"dark": np.full((4, 4), 10.0), "light": np.full((4, 4), 200.0)}
    test = {"black": np.zeros((4, 4)), "grey": np.full((4, 4), 120.0)}
    found = closest_across(list(train), list(test), train | test, 10)
    assert found == [("dark", "black"), ("light", "grey")]


def test_an_index_is_asked_for_its_overlaps(people, tmp_path):
    """The same with an index as without, and with one no picture is read."""
    shutil.copy(people / NAME, people / TEST_NAME)
    made = json.loads(json.dumps(overlap_of(DeepFashion(people, SIZE))))
    assert made["closest"][0] == [NAME, TEST_NAME] and len(made["closest"]) == 3
    index = index_of(people, tmp_path / "index")
    shutil.rmtree(people)
    assert overlap_of(index) == made


def test_the_report(people, tmp_path):
    shutil.copy(people / NAME, people / TEST_NAME)  # a test picture that is in training too
    shutil.copy(people / NAME, people / NAME.replace("01_0", "01_1"))
    overlap = make_index(survey(people, SIZE), tmp_path / "index", progress=iter)
    assert overlap["shared"] == {"pictures": [], "outfits": [], "items": []}
    assert overlap["of_test"] == {"pictures": 3, "outfits": 1, "items": 1}
    twin = NAME.replace("01_0", "01_1")
    assert sorted(overlap["near_pairs"]["train"]) == [(NAME, twin, 0.0), (twin, NAME, 0.0)]
    assert overlap["near_pairs"]["test"] == []
    assert overlap["near_across"] == [(NAME, TEST_NAME, 0.0), (twin, TEST_NAME, 0.0)]
    stored = json.loads((tmp_path / "index/overlap.json").read_text())
    assert stored["near_across"] == [list(pair) for pair in overlap["near_across"]]
    counts, *lists = overlap_tables(overlap).values()
    assert counts["of the test set"].tolist() == [3, 1, 1]
    assert [len(table) for table in lists] == [2, 0, 2]

"""The reader: every on-disk format reads back equal, every bad input gives its one clear error."""

import pickle
import re
import shutil
import unicodedata

import numpy as np
import pytest
import torch
from helpers.datasets import (
    BAD,
    FORMATS,
    NAME,
    SPLITS,
    WHOLE,
    copy_of,
    everyone,
    write_keypoint_tables,
    write_lmdb,
    write_pair_tables,
)
from helpers.people import SIZE, draw_person, write_dataset
from PIL import Image
from transformers import Dinov2Config, Dinov2Model

from xmdpt.data.deepfashion import DataError, DeepFashion, read_picture
from xmdpt.data.keypoints import draw_skeleton
from xmdpt.data.pairs import canonical, item, mangle, outfit
from xmdpt.features.encoders import make_encoder, network_input
from xmdpt.photos.loading import load_photo
from xmdpt.support.pictures import to_signed


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Drawn people in NTED's files, with whole-numbered joints, as PATN's tables hold them."""
    root = write_dataset(tmp_path_factory.mktemp("people"))
    for path in root.glob("pose/**/*.txt"):
        np.savetxt(path, np.loadtxt(path).round())
    return root


@pytest.fixture(scope="module")
def truth(people):
    return DeepFashion(people, SIZE)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_back_equal(name, people, truth, tmp_path):
    FORMATS[name](tmp_path, people, truth)
    data = DeepFashion(tmp_path, SIZE)
    for split in SPLITS:
        assert data.pictures(split) == truth.pictures(split)
        assert data.pairs(split) == truth.pairs(split)
    for picture in everyone(truth):
        assert np.array_equal(data.picture(picture), truth.picture(picture))
        assert np.array_equal(data.keypoints(picture), truth.keypoints(picture))
        assert np.array_equal(data.skeleton(picture), truth.skeleton(picture))
    laid = data.lay_out(tmp_path.with_name(f"{tmp_path.name} laid out"))
    listed = [line for s in SPLITS for line in (laid / f"{s}.lst").read_text().split("\n") if line]
    assert [canonical(line) for line in listed] == everyone(truth)
    for line, picture in zip(listed, everyone(truth), strict=True):
        assert np.array_equal(read_picture(laid / line, (SIZE, SIZE)), truth.picture(picture))


def content(root):
    return {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}


def test_laying_out_again_leaves_every_original_alone(people, tmp_path):
    """Once more, another data set of the same names, and an LMDB: all into one folder."""
    first = copy_of(people, tmp_path / "first", *WHOLE)
    second = copy_of(first, tmp_path / "second", *WHOLE)
    for path in (second / "img").rglob("*.jpg"):
        Image.open(path).rotate(180).save(path)
    (second / "test.lst").write_text((first / "test.lst").read_text() + f"{NAME}\n")
    before = content(first) | content(second)
    for root in (first, first, second, second):
        data = DeepFashion(root, SIZE)
        laid = data.lay_out(tmp_path / "laid out")
        assert all(
            (laid / name).read_bytes() == (root / name).read_bytes() for name in everyone(data)
        )
    assert (laid / "test.lst").read_text().endswith(f"{NAME}\n")
    assert content(first) | content(second) == before


def test_laying_out_a_lmdb_replaces_a_link(people, truth, tmp_path):
    write_lmdb(tmp_path / "set" / f"{SIZE}-{SIZE}", people, everyone(truth))
    copy_of(people, tmp_path / "set", *WHOLE[1:])
    place, other = tmp_path / "laid out" / NAME.replace("jpg", "png"), tmp_path / "other.png"
    place.parent.mkdir(parents=True)
    other.write_bytes(b"another's")
    place.symlink_to(other)
    data = DeepFashion(tmp_path / "set", SIZE)
    data.lay_out(tmp_path / "laid out")
    assert other.read_bytes() == b"another's" and place.read_bytes() == data.store.content(NAME)


@pytest.mark.parametrize("folder", [".", "laid out", "img/.."])
def test_nothing_is_laid_out_in_the_data_set(people, tmp_path, folder):
    root = copy_of(people, tmp_path / "set", "img", "pose", "train.lst", "train_pairs.txt")
    before = content(root)
    with pytest.raises(DataError, match="lies in the data set"):
        DeepFashion(root, SIZE).lay_out(root / folder)
    assert content(root) == before


def test_pictures_are_the_pils_bicubic_squash(people, truth):
    expected = Image.open(people / NAME).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    assert np.array_equal(truth.picture(NAME), np.asarray(expected))
    assert truth.picture(NAME, (64, 44)).shape == (64, 44, 3)


def test_without_lists_the_pairs_say_what_there_is(people, truth, tmp_path):
    copy_of(people, tmp_path, "img", "pose", "train_pairs.txt", "test_pairs.txt")
    data = DeepFashion(tmp_path, SIZE)
    for split in SPLITS:
        assert sorted(data.pictures(split)) == sorted(truth.pictures(split))


def test_a_lmdb_of_the_size_asked_for_comes_before_the_files(people, truth, tmp_path):
    copy_of(people, tmp_path, "img", "pose", "train.lst", "train_pairs.txt")
    black = Image.new("RGB", (44, 64))
    write_lmdb(tmp_path / "32-32", people, [NAME])
    black.save(tmp_path / NAME)
    assert DeepFashion(tmp_path, SIZE).picture(NAME).max() == 0
    assert DeepFashion(tmp_path, 32).picture(NAME).max() > 0


def test_digest_is_of_picture_and_key_points(people, tmp_path):
    root = copy_of(people, tmp_path, "img", "pose", "train.lst", "train_pairs.txt")
    data, other = DeepFashion(root, SIZE), NAME.replace("01_0", "01_1")
    before = data.digest(NAME)
    assert len(before) == 64 and data.digest(NAME) == before != data.digest(other)
    pose = root / NAME.replace("img/", "pose/").replace(".jpg", ".txt")
    joints = np.loadtxt(pose)
    joints[3] += 1
    np.savetxt(pose, joints)
    moved = data.digest(NAME)
    shutil.copy(root / other, root / NAME)
    assert len({before, moved, data.digest(NAME)}) == 3


# Data sets of other makers


def test_a_folder_of_ones_own(people, truth, tmp_path):
    """Any names, a from,to table, and joints in pixels of each picture."""
    names = {}
    for count, picture in enumerate(everyone(truth)):
        names[picture] = f"photos/{item(picture)[-1]}/photo {count}.png"
        (tmp_path / names[picture]).parent.mkdir(parents=True, exist_ok=True)
        Image.open(people / picture).resize((88, 128)).save(tmp_path / names[picture])
    write_pair_tables(tmp_path, truth, "pairs-{}.csv", names.get)
    write_keypoint_tables(
        tmp_path, truth, "keypoints-{}.csv", names.get, lambda p: (p - [40, 0]) / 2
    )
    data = DeepFashion(tmp_path, SIZE)
    assert data.pairs("test") == [(names[a], names[b]) for a, b in truth.pairs("test")]
    for picture, name in names.items():
        assert data.picture(name).shape == (SIZE, SIZE, 3)
        assert np.abs(data.keypoints(name) - truth.keypoints(picture)).max() <= 2  # halved ints
        assert (data.keypoints(name) == -1).sum() == (truth.keypoints(picture) == -1).sum()


def test_market_1501(tmp_path):
    name = "0002_c1s1_000451_03.jpg"
    target = "0002_c2s1_000776_01.jpg"
    folder = tmp_path / "bounding_box_train"
    folder.mkdir()
    for stem in (name, target):
        Image.new("RGB", (64, 128), (9, 99, 199)).save(folder / stem)
    (tmp_path / "market-pairs-train.csv").write_text(f"from,to\n{name},{target}\n")
    ys, xs = [-1] * 18, [-1] * 18
    ys[0], xs[0], ys[1], xs[1] = 64, 16, 128, 64
    table = f"name:keypoints_y:keypoints_x\n{target}: {ys}: {xs}\n"
    (tmp_path / "market-annotation-train.csv").write_text(table)
    data = DeepFashion(tmp_path, SIZE)
    assert data.pairs("train") == [(name, target)]
    assert data.picture(name).shape == (SIZE, SIZE, 3)
    keypoints = data.keypoints(target)
    assert keypoints[:2].tolist() == [[40 + 44, 128], [40 + 176, 256]]
    assert (keypoints[2:] == -1).all()
    assert item(name) == item(target) == "0002"


# Names


@pytest.mark.parametrize(
    "spelling",
    [
        "img/WOMEN/Blouses_Shirts/id_00007132/04_4_full.jpg",
        "WOMEN/Blouses_Shirts/id_00007132/04_4_full.png",
        "/data/img_highres/WOMEN/Blouses_Shirts/id_00007132/04_4_full.jpg",
        "img\\WOMEN\\Blouses_Shirts\\id_00007132\\04_4_full.jpg",
        "fashionWOMENBlouses_Shirtsid0000713204_4full.jpg",
        "fashionWOMENBlouses_Shirtsid0000713204_4full",
        "train/deepfashionWOMENBlouses_Shirtsid0000713204_4full.png",
    ],
)
def test_one_name_for_every_spelling(spelling):
    name = "img/WOMEN/Blouses_Shirts/id_00007132/04_4_full.jpg"
    assert canonical(spelling) == name
    assert canonical(mangle(spelling)) == name
    assert item(spelling) == "id_00007132"
    assert outfit(spelling) == "WOMEN/Blouses_Shirts/00007132/04"


def test_other_names_stay():
    assert canonical("photos/anna/1.png") == "photos/anna/1.png"
    assert item("photos/anna/1.png") == outfit("photos/anna/1.png") == "photos/anna"


# Bad input


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name, people, tmp_path):
    spoil, ask, message = BAD[name]
    root = copy_of(people, tmp_path / "set", "img", "pose", *("train.lst", "train_pairs.txt"))
    spoil(root)
    with pytest.raises(DataError, match=message) as caught:
        data = DeepFashion(root, SIZE)
        data.pairs("train") if ask == "pairs" else getattr(data, ask)(NAME)
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "must be 'from,to'"), (f"from,to\n{NAME}\n", "row 2 is .* name from and to")],
)
def test_a_bad_table_of_pairs(text, message, tmp_path):
    (tmp_path / "pairs-train.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        DeepFashion(tmp_path, SIZE).pairs("train")


def test_a_name_that_could_be_two_pictures(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "one.png")
    with pytest.raises(DataError, match=re.escape("could be a/one.png or b/one.png")):
        DeepFashion(tmp_path, SIZE).picture("one.png")


def test_a_name_with_a_folder_means_that_folder(tmp_path):
    for place, color in (("masks/b.png", 0), ("photos/b.png", 200), ("masks/c.png", 0)):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (color, 0, 0)).save(tmp_path / place)
    data = DeepFashion(tmp_path, SIZE)
    assert data.picture("photos/b.jpg")[0, 0, 0] == 200, "another suffix is the same picture"
    with pytest.raises(DataError, match=r"photos/c.jpg: no such picture"):
        data.picture("photos/c.jpg")


def test_letters_that_a_file_system_takes_apart(tmp_path):
    apart = unicodedata.normalize("NFD", "jos\u00e9.png")
    Image.new("RGB", (8, 8)).save(tmp_path / apart)
    assert DeepFashion(tmp_path, SIZE).picture("jos\u00e9.png").shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("share", [0.99, 0.5])
def test_a_lmdb_cut_short_is_named(share, people, truth, tmp_path):
    folder = tmp_path / f"{SIZE}-{SIZE}"
    write_lmdb(folder, people, everyone(truth))
    whole = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(whole[: int(share * len(whole.rstrip(b"\0")))])
    with pytest.raises(DataError, match=r"not a readable LMDB .* bytes"):
        _ = DeepFashion(tmp_path, SIZE).store


def test_hidden_tables_are_not_read(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    for place, x in ((".ipynb_checkpoints/keypoints-checkpoint.csv", 51), ("keypoints.csv", 90)):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        row = f"a.png: {[30] * 18}: {[x] * 18}"
        (tmp_path / place).write_text(f"name:keypoints_y:keypoints_x\n{row}\n")
    (tmp_path / "._keypoints.csv").write_bytes(b"\xff\xfe")
    assert DeepFashion(tmp_path, SIZE).keypoints("a.png")[0, 0] == pytest.approx(0.9 * 176 + 40)


def test_names_that_lead_out_of_a_folder_are_not_laid_out(tmp_path):
    for name in ("a", "b"):
        draw_person(tmp_path / f"pics/{name}.png", tmp_path / f"set/pose/{name}.txt", (9, 9, 9), 0)
    for split in SPLITS:
        table = "from,to\n../pics/a.png,../pics/b.png\n"
        (tmp_path / f"set/pairs-{split}.csv").write_text(table)
    Image.new("RGB", (8, 8)).save(tmp_path / "set/c.png")
    before = content(tmp_path / "pics")
    with pytest.raises(DataError, match="is not a name below it"):
        DeepFashion(tmp_path / "set", SIZE).lay_out(tmp_path / "laid")
    assert content(tmp_path / "pics") == before


def test_no_folder_names_the_stage(tmp_path):
    with pytest.raises(DataError, match="prepare"):
        DeepFashion(tmp_path / "nowhere", SIZE)


# No joint at all


def test_a_skeleton_without_joints_gives_numbers():
    """The authors' code divides by the picture's maximum: 0 / 0."""
    black = draw_skeleton(np.full((18, 2), -1.0), (SIZE, SIZE))
    assert black.max() == 0
    assert torch.isfinite(make_encoder("efficientnet_lite0")(to_signed(black[None]))).all()
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=224
    )
    pose = network_input(to_signed(black[None]), "skeleton", imagenet_normalization=False)
    tokens = Dinov2Model(config).eval()(pose).last_hidden_state
    assert (pose == 0).all() and torch.isfinite(tokens).all()


def test_a_lmdb_is_read_by_other_processes(people, truth, tmp_path):
    write_lmdb(tmp_path / f"{SIZE}-{SIZE}", people, everyone(truth))
    copy_of(people, tmp_path, "pose", "train.lst", "train_pairs.txt")
    data, names = DeepFashion(tmp_path, SIZE), truth.pictures("train")
    expected = [truth.picture(name) for name in names]
    data.picture(names[0])  # opened before the worker is forked
    loader = torch.utils.data.DataLoader(
        Pictures(data, names), batch_size=4, num_workers=1, multiprocessing_context="fork"
    )
    assert np.array_equal(torch.cat(list(loader)), expected)
    sent = pickle.loads(pickle.dumps(data))  # as to a spawned worker
    assert np.array_equal([sent.picture(name) for name in names], expected)
    assert not (tmp_path / f"{SIZE}-{SIZE}/lock.mdb").exists()


class Pictures(torch.utils.data.Dataset):
    def __init__(self, data, names):
        self.data, self.names = data, names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, row):
        return self.data.picture(self.names[row])


def test_any_kind_of_png_is_read_as_the_pipeline_reads_photos(tmp_path):
    clear = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    clear.save(tmp_path / "clear.png")
    Image.fromarray(np.full((40, 40), 257 * 12, np.uint16)).save(tmp_path / "deep.png")
    for name in ("clear", "deep"):
        path = tmp_path / f"{name}.png"
        assert np.array_equal(read_picture(path), np.asarray(load_photo(path)))
    assert read_picture(tmp_path / "clear.png")[0, 1].tolist() == [255, 255, 255]
    assert (read_picture(tmp_path / "deep.png") == 12).all()
    content = bytearray((tmp_path / "clear.png").read_bytes())
    content[8:12] = (5).to_bytes(4, "big")  # too short a header
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png: not a readable picture"):
        read_picture(tmp_path / "broken.png")

"""Cached features: exact, resumable, shared out, and every damage named."""

import json
import os
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from helpers.people import SIZE
from helpers.processes import die_in_the_second, note_share
from safetensors.torch import load_file, save_file

from xmdpt.config import ConfigError, load_config
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.features import make as writing
from xmdpt.features import sizes
from xmdpt.features.cache import FeatureCache, sample_latent
from xmdpt.features.encoders import make_encoder
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.sizes import cache_bytes
from xmdpt.support.shards import Shard

SETTINGS = load_config("profiles/smoke.yaml").features.model_copy(update={"batch_size": 4})


@pytest.fixture(scope="module")
def data(people):
    return DeepFashion(people, SIZE)


@pytest.fixture(scope="module")
def names(data):
    return data.pictures("train")


@pytest.fixture(scope="module")
def encoders(tiny_vae):
    torch.set_num_threads(1)
    network = make_encoder("efficientnet_lite0")
    return Encoders(tiny_vae, network, network)


def write(folder, data, names, encoders, progress=iter, **changes):
    settings = SETTINGS.model_copy(update=changes)
    cache_features(folder, names, data, encoders, settings, progress, shard_size=4)
    return FeatureCache(folder)


@pytest.fixture(scope="module")
def folder(data, names, encoders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "features"
    write(folder, data, names, encoders)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def rows(*numbers):
    return np.array(numbers)


def test_a_vae_without_a_quantising_convolution_is_named_too(encoders, tiny_vae):
    settings = {**tiny_vae.config, "use_quant_conv": False}
    other = Encoders(AutoencoderKL.from_config(settings), encoders.source, encoders.pose)
    other.vae.encoder.load_state_dict(tiny_vae.encoder.state_dict())
    assert other.key != encoders.key == encoders.key


def on_the_fly(data, encoders, batch, flip):
    step = -1 if flip else 1
    pictures = np.stack([data.picture(name)[:, ::step] for name in batch])
    skeletons = np.stack([data.skeleton(name)[:, ::step] for name in batch])
    return encoders(pictures, skeletons)


# What is stored


@pytest.mark.parametrize("flip", [0, 1])
def test_latents_equal_encoding_on_the_fly_exactly(folder, data, names, encoders, flip):
    cache = FeatureCache(folder)
    fresh = on_the_fly(data, encoders, names[4:8], flip)
    picked, flips = rows(4, 5, 6, 7), np.full(4, flip)
    noise = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    stored = sample_latent(cache.read("moments", picked, flips), noise, cache.scaling_factor)
    made = encoders.vae.encode(
        torch.from_numpy(
            np.stack([data.picture(name)[:, :: -1 if flip else 1] for name in names[4:8]])
        ).permute(0, 3, 1, 2)
        / 127.5
        - 1
    ).latent_dist
    expected = (made.mean + made.std * noise) * encoders.vae.config.scaling_factor
    assert torch.equal(stored, expected)
    for kind in ("source_tokens", "pose_tokens"):
        assert torch.equal(cache.read(kind, picked, flips), fresh[kind].half()), kind


@pytest.mark.parametrize(("storage", "error"), [("fp32", 0), ("bf16", 2**-8), ("fp8", 2**-4)])
def test_storage_rounds_tokens_alone(data, names, encoders, tmp_path, storage, error):
    cache = write(tmp_path / "features", data, names[:4], encoders, storage=storage)
    fresh = on_the_fly(data, encoders, names[:4], 0)
    picked, flips = rows(0, 1, 2, 3), np.zeros(4, int)
    assert torch.equal(cache.read("moments", picked, flips), fresh["moments"])
    for kind in ("source_tokens", "pose_tokens"):
        away = (cache.read(kind, picked, flips).float() - fresh[kind]).abs()
        # fp8 (4 bits of exponent, 3 of mantissa) counts in steps of 2^-9 below 2^-6.
        assert (away <= error * fresh[kind].abs() + (2**-10 if storage == "fp8" else 0)).all()
        assert (away.max() > 0) == (error > 0)


def test_fp8_holds_its_largest_number_and_keeps_nan():
    values = torch.tensor([1e6, -1e6, 448.0, float("nan"), float("inf")])
    stored = writing._store(values, torch.float8_e4m3fn).float()
    assert stored[:3].tolist() == [448, -448, 448]
    assert stored[3:].isnan().all()  # an infinity is an error, not a large number


def test_photos_in_place_of_source_tokens(data, names, encoders, tmp_path, folder):
    cache = write(tmp_path / "features", data, names, encoders, source_tokens="on_the_fly")
    assert "source_tokens" not in cache.stored
    assert cache.shape("source_tokens") == FeatureCache(folder).shape("source_tokens") == (17, 516)
    photos = cache.read_pictures(rows(1, 8), np.array([0, 1]))
    assert np.array_equal(photos[0], data.picture(names[1]))
    assert np.array_equal(photos[1], data.picture(names[8])[:, ::-1])
    made = make_encoder(**cache.source_encoder)(torch.zeros(1, 3, SIZE, SIZE))
    assert made.shape[1:] == cache.shape("source_tokens")


def test_size_is_told_before_and_is_what_is_written(data, names, encoders, tmp_path, capsys):
    cache = write(tmp_path / "features", data, names, encoders)
    assert re.match(r"features of 9 pictures: moments .* in all\n", capsys.readouterr().out)
    arrays = cache_bytes(encoders.shapes(SIZE), SETTINGS, len(names))
    assert cache.nbytes == arrays
    stored = sum(path.stat().st_size for path in (tmp_path / "features").glob("*.safetensors"))
    assert 0 <= stored - sum(arrays.values()) < 3 * 1000  # the shards' headers


def test_a_disk_too_small_is_refused_at_once(data, names, encoders, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes.shutil, "disk_usage", lambda _: type("", (), {"free": 10_000}))
    with pytest.raises(DataError, match=r"the disk has 0\.0 MB free.*whole clone.*storage: fp8"):
        write(tmp_path / "features", data, names, encoders)
    assert not (tmp_path / "features").exists()
    assert not [*tmp_path.rglob("*.safetensors")]


# Resuming and sharing out


def test_a_killed_run_resumes_without_doing_work_twice(data, names, encoders, tmp_path, folder):
    seen = []

    def stop_in_the_second(shards):
        for shard in shards:
            if seen:
                raise KeyboardInterrupt
            seen.append(shard)
            yield shard

    def note(shards):
        seen.extend(shards)
        return shards

    target = tmp_path / "features"
    with pytest.raises(KeyboardInterrupt):
        write(target, data, names, encoders, stop_in_the_second)
    assert not target.exists()
    (work,) = tmp_path.iterdir()
    # A shard that a power cut left short, and a half-written one, are made anew.
    half = (work / "00000.safetensors").read_bytes()[:-9]
    write(target, data, names, encoders, note)
    assert seen == [0, 1, 2]
    assert files(target) == files(folder)

    again = tmp_path / "again"
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        write(again, data, names, encoders, stop_in_the_second)
    (work,) = (path for path in tmp_path.iterdir() if ".again" in path.name)
    (work / "00000.safetensors").write_bytes(half)
    write(again, data, names, encoders, note)
    assert seen == [0, 0, 1, 2]
    assert files(again) == files(folder)


def test_finished_features_are_taken_over_only_as_they_were_written(
    data, names, encoders, copy, folder, capsys
):
    seen = []

    def note(shards):
        seen.extend(shards)
        return shards

    write(copy, data, names, encoders, note)
    assert seen == []
    content = bytearray((copy / "00001.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "00001.safetensors").write_bytes(content)
    write(copy, data, names, encoders, note)
    assert seen == [0, 1, 2] and files(copy) == files(folder)
    assert f"{copy}: damaged since it was written; made again" in capsys.readouterr().err


def test_what_another_factor_scales_or_other_code_has_begun_is_not_taken_over(
    data, names, encoders, copy, tmp_path, monkeypatch
):
    seen = []

    def note(shards):
        seen.extend(shards)
        return shards

    vae = deepcopy(encoders.vae)
    vae.register_to_config(scaling_factor=2.5)
    write(copy, data, names, replace(encoders, vae=vae), note)
    assert seen == [0, 1, 2] and FeatureCache(copy).scaling_factor == 2.5
    seen.clear()
    begun = partial(cache_features, shard_size=4, shard=Shard(0, 2))
    begun(tmp_path / "begun", names, data, encoders, SETTINGS, iter)
    monkeypatch.setattr(writing, "code_key", lambda *patterns: "another")
    write(tmp_path / "begun", data, names, encoders, note)
    assert seen == [0, 1, 2]


def test_the_code_that_features_come_from_is_there():
    package = Path(writing.__file__).parents[1]
    assert all((package / name).is_file() for name in writing.CODE)


def test_processes_share_out_the_shards(data, names, encoders, tmp_path, folder):
    target, note = tmp_path / "features", partial(note_share, tmp_path)
    cache_features(target, names, data, encoders, SETTINGS, note, shard_size=4, processes=2)
    assert files(target) == files(folder)
    shares = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(shares) == 2 and all(shares)
    assert sorted(shares[0] + shares[1]) == [*range(len(list(target.glob("*.safetensors"))))]


def test_an_error_of_a_process_says_what_it_says_alone(data, names, encoders, tmp_path):
    shutil.copytree(data.root, tmp_path / "people")
    (tmp_path / "people" / names[-1]).write_bytes(b"no picture")
    broken, write = DeepFashion(tmp_path / "people", SIZE), partial(cache_features, processes=2)
    said = r"not a readable picture \(unknown format\); copy it again, or save it as JPEG or PNG$"
    with pytest.raises(DataError, match=said):
        write(tmp_path / "out", names, broken, encoders, SETTINGS, iter, shard_size=4)
    assert not (tmp_path / "out").exists()


def test_a_process_that_is_killed_is_said_and_the_next_call_goes_on(
    data, names, encoders, tmp_path, folder
):
    target, write = tmp_path / "features", partial(cache_features, shard_size=4)
    with pytest.raises(DataError, match=r"was killed, .* \(.*SIGKILL.*\); .* to continue from"):
        write(target, names, data, encoders, SETTINGS, die_in_the_second, processes=2)
    assert not target.exists()
    write(target, names, data, encoders, SETTINGS, iter)
    assert files(target) == files(folder)


@pytest.mark.parametrize(
    "change", [{"storage": "bf16"}, {"batch_size": 3}, {"source_tokens": "on_the_fly"}]
)
def test_other_settings_are_other_features(data, names, encoders, change):
    other = SETTINGS.model_copy(update=change)
    keys = [writing._key(names, data, encoders, s) for s in (SETTINGS, SETTINGS, other)]
    assert keys[0] == keys[1] != keys[2]


def test_both_encoders_that_are_missing_are_named(tiny_vae, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    names = {"source_encoder": "nobody/one", "pose_encoder": "nobody/two"}
    with pytest.raises(ConfigError) as caught:
        Encoders.load(tiny_vae, SETTINGS.model_copy(update=names))
    first, second = str(caught.value).split("; features.pose_encoder: ")
    assert first.startswith("features.source_encoder: nobody/one is not a local folder")
    assert second.startswith("nobody/two is not a local folder")


# Damage


@pytest.fixture
def copy(folder, tmp_path):
    target = tmp_path / "features"
    target.mkdir()
    for name, content in files(folder).items():
        (target / name).write_bytes(content)
    return target


def test_nan_in_a_shard_names_shard_and_picture(copy, names):
    shard = load_file(copy / "00001.safetensors")
    shard["pose_tokens"][2, 1, 3, 5] = float("nan")
    save_file(shard, copy / "00001.safetensors")
    cache = FeatureCache(copy)
    cache.read("pose_tokens", rows(6, 5), np.array([0, 1]))
    with pytest.raises(DataError) as caught:
        cache.read("pose_tokens", rows(5, 6), np.array([1, 1]))
    message = str(caught.value)
    assert f"{copy}/00001.safetensors: the pose_tokens of {names[6]} (mirrored)" in message
    assert "dvc repro" in message and "\n" not in message


def test_a_network_that_gives_nan_writes_nothing(data, names, tiny_vae, encoders, tmp_path):
    class Broken(type(encoders.pose)):
        def forward(self, pictures):
            tokens = super().forward(pictures)
            tokens[2:] = float("inf")
            return tokens

    broken = Encoders(tiny_vae, encoders.source, Broken())
    with pytest.raises(DataError, match=rf"{names[2]}: its pose_tokens are not finite"):
        write(tmp_path / "features", data, names, broken)
    assert not [*tmp_path.rglob("*.safetensors")]


def test_a_changed_byte_is_found_by_its_checksum(copy):
    FeatureCache(copy).verify()
    content = bytearray((copy / "00001.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "00001.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"00001\.safetensors: changed since it was written"):
        FeatureCache(copy).verify()


def test_missing_and_short_shards_are_found_on_opening(copy, tmp_path):
    with pytest.raises(DataError, match="the stage `features`"):
        FeatureCache(tmp_path)
    (copy / "00002.safetensors").write_bytes(b"short")
    with pytest.raises(DataError, match=r"00002\.safetensors: has 5 bytes instead of \d+; make"):
        FeatureCache(copy)
    (copy / "00002.safetensors").unlink()
    with pytest.raises(DataError, match=r"00002\.safetensors: no such file"):
        FeatureCache(copy)


def test_a_shard_of_the_right_length_that_is_none(copy):
    length = (copy / "00000.safetensors").stat().st_size
    (copy / "00000.safetensors").write_bytes(b"\xff" * length)
    cache = FeatureCache(copy)
    with pytest.raises(DataError, match=r"00000\.safetensors: not a readable shard"):
        cache.read("moments", rows(0), rows(0))


# The table in the documentation


def test_the_documented_sizes_are_computed():
    text = Path("docs/reproduce/features.md").read_text()
    table = re.findall(r"^\| (\d+) \| `(\w+)` \| `(\w+)` \| ([\d.]+) GB \|$", text, re.MULTILINE)
    assert len(table) >= 8
    paper = load_config("profiles/paper.yaml").features
    for size, storage, source, gigabytes in table:
        cells = int(size) // 8
        shapes = {
            "moments": (8, cells, cells),
            "source_tokens": (257, 1536),
            "pose_tokens": (257, 768),
            "source_pictures": (int(size), int(size), 3),
        }
        settings = paper.model_copy(update={"storage": storage, "source_tokens": source})
        total = sum(cache_bytes(shapes, settings, 52712).values())
        assert f"{total / 1e9:.1f}" == gigabytes, (size, storage, source)


def test_index_is_plain(folder):
    index = json.loads((folder / "index.json").read_text())
    assert [len(entry["sha256"]) for entry in index["shards"]] == [64, 64, 64]
    assert set(files(folder)) == {"index.json", *(f"0000{i}.safetensors" for i in range(3))}


def test_processes_need_no_open_file_for_each_tensor(data, names, encoders, tmp_path, folder):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    own = deepcopy(encoders)  # the others' tensors may be shared already
    most = max(map(int, os.listdir("/dev/fd"))) + 60  # far fewer than the networks have tensors
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        target = tmp_path / "features"
        cache_features(target, names, data, own, SETTINGS, iter, shard_size=4, processes=2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert files(target) == files(folder)


def test_a_shard_counts_what_the_others_write(data, names, encoders, tmp_path, monkeypatch):
    whole = sum(cache_bytes(encoders.shapes(SIZE), SETTINGS, len(names)).values())
    monkeypatch.setattr(sizes.shutil, "disk_usage", lambda _: type("", (), {"free": whole - 1}))
    with pytest.raises(DataError, match="the features need"):
        cache_features(
            tmp_path / "features", names, data, encoders, SETTINGS, iter, shard_size=4,
            shard=Shard(0, 2),
        )  # fmt: skip

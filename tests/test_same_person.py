"""Several photos of one person: their looks are averaged, whatever their order."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.commands import xmdpt
from helpers.networks import make_model, make_pipeline
from helpers.people import SIZE, NoFinder, body, draw_person, write_people_and_poses
from helpers.repository import ROOT
from PIL import Image

from xmdpt import XMDPTPipeline
from xmdpt.album import TABLE
from xmdpt.config import ConfigError
from xmdpt.extensions.context import ContextTransformer2DModel
from xmdpt.generate import draw, prepare
from xmdpt.photos.subjects import Subject

POSES = [body(0.18, (4, 4)), body(0.2, (8, 4))]


@pytest.fixture(scope="module")
def pipe(tiny_vae):
    return make_pipeline(tiny_vae)


def photos(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def seeds(count):
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


@torch.no_grad()
@pytest.mark.parametrize("sources", ["both", "local", "global"])
def test_the_condition_is_that_of_the_mean_of_each_term(sources):
    model = make_model(canet_sources=sources, mip_attention="none")
    canet = model.canet
    pose, photo = torch.randn(2, 17, 516), torch.randn(6, 17, 516)
    latent = torch.randn(6, 4, 8, 8)
    terms = [canet.pose_pool(canet.pose_projection(pose))]
    if canet.local_pool is not None:
        local = canet.local_pool(model._embed(latent))
        terms.append(torch.stack([local[:3].mean(0), local[3:].mean(0)]))
    if canet.source_pool is not None:
        whole = canet.source_pool(canet.source_projection(photo))
        terms.append(torch.stack([whole[:3].mean(0), whole[3:].mean(0)]))
    expected = canet.join(sum(terms))
    torch.testing.assert_close(model.encode_condition(pose, photo, latent), expected)


def test_one_photo_twice_is_one_photo_and_order_does_not_matter(pipe):
    one, other = photos()
    alone = pipe.encode_condition(one, POSES, seeds(2))
    twice = pipe.encode_condition([(one, one)], POSES, seeds(2))
    torch.testing.assert_close(twice, alone)
    both = pipe.encode_condition([(one, other)], POSES, seeds(2))
    torch.testing.assert_close(pipe.encode_condition([(other, one)], POSES, seeds(2)), both)
    assert not torch.allclose(both, alone)


def test_each_person_of_a_batch_has_the_own_photos(pipe):
    a, b, c, d = photos(4)
    people, generators = [(a, b), (c, d)], seeds(4)
    together = pipe.encode_condition(people, POSES, generators, num_images_per_prompt=2)
    alone = [
        pipe.encode_condition([person], pose, seeds(4)[2 * n : 2 * n + 2], num_images_per_prompt=2)
        for n, (person, pose) in enumerate(zip(people, POSES, strict=True))
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="equally many of each person"):
        pipe.encode_condition([(a, b), c], POSES)


def test_source_tokens_in_context_are_of_one_photo(tiny_vae, pipe):
    settings = dict(make_model(mip_attention="none").config)
    other = XMDPTPipeline(tiny_vae, ContextTransformer2DModel.from_config(settings), pipe.scheduler)
    with pytest.raises(ConfigError, match="takes one photo of a person"):
        other.encode_condition([tuple(photos())], POSES)


@pytest.fixture
def files(tmp_path):
    """Two photos of a person, framed, and two poses."""
    return write_people_and_poses(tmp_path, ("front", "back"), 2)


def test_the_command_draws_one_person_of_several_photos(
    saved_pipe, pipe, files, monkeypatch, capsys
):
    monkeypatch.chdir(files)
    words = ["generate", "--source", "front.png", "--source", "back.png", "--same-person",
             "--weights", saved_pipe, "--steps", 2]  # fmt: skip
    assert xmdpt(monkeypatch, *words, "--pose", "poses/p0.txt", "--out", "o.png", "--no-mark") == 0
    prepared = prepare(
        Subject(files / "front.png"), Subject(files / "poses/p0.txt"), NoFinder(), say=str,
        more=[Subject(files / "back.png")],
    )  # fmt: skip
    expected = draw(pipe, prepared, num_inference_steps=2).pictures[0]
    made = np.asarray(Image.open("o.png")).astype(int)
    assert np.abs(made - np.asarray(expected)).max() <= 2
    alone = draw(pipe, prepare(
        Subject(files / "front.png"), Subject(files / "poses/p0.txt"), NoFinder(), say=str
    ), num_inference_steps=2).pictures[0]  # fmt: skip
    assert np.abs(made - np.asarray(alone)).max() > 2

    album = [*words, "--pose", "poses", "--out", "album"]
    assert xmdpt(monkeypatch, *album) == 0
    with (files / "album" / TABLE).open() as file:
        assert [row["out"] for row in csv.DictReader(file)] == ["front_p0.png", "front_p1.png"]
    assert xmdpt(monkeypatch, *album) == 0
    assert "drew 0, found 2 already drawn" in capsys.readouterr().out
    draw_person(files / "back.png", files / "unused.txt", (0, 200, 0), 0)
    assert xmdpt(monkeypatch, *album) == 0
    assert "drew 2, found 0 already drawn" in capsys.readouterr().out, "another photo of the person"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--source", "front.png"], "takes two photos or more"),
        (["--source", "front.png", "--source", "none.png"], "none.png: no such picture"),
        (
            ["--source", "front.png", "--source", "back.png", "--source-keypoints", "poses/p0.txt"],
            "--source-keypoints needs a single photo",
        ),
        (["--source", "front.png", "--source", "back.png", "--out", "back.png"], "files you gave"),
    ],
)
def test_what_does_not_go_together_is_one_line(saved_pipe, files, monkeypatch, capsys, more, said):
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    words = ["--same-person", "--pose", "poses/p0.txt", "--weights", saved_pipe, "--steps", 2]
    out = [] if "--out" in more else ["--out", "o.png"]
    assert xmdpt(monkeypatch, "generate", *words, *out, *more) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
    assert sorted(files.rglob("*")) == before


@pytest.mark.slow
def test_the_comparison_of_one_photo_with_two_is_made(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/same_person.py", "--people", "2", "--steps", "2"]
    subprocess.run([*command, "--out", tmp_path / "table.md"], check=True, cwd=tmp_path)
    made = (tmp_path / "table.md").read_text()
    assert re.findall(r"^\| (.*) \| \d\.\d{4} \|$", made, re.M) == [
        "front", "back", "front and back",
    ]  # fmt: skip
    assert made.count("front and back is better than") == 2

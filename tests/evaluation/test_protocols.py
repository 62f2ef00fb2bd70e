"""Every protocol against a direct computation, written out from its definition, on rendered people.

Networks are of the real classes with random weights (`hub`).
"""

from typing import get_args

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.networks import package_lpips
from PIL import Image
from scipy.signal import fftconvolve
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from xmdpt.config import EvaluateConfig
from xmdpt.data.pairs import result_name
from xmdpt.evaluation import evaluate, evaluate_pairs
from xmdpt.evaluation.preparation import RESIZERS, prepare
from xmdpt.evaluation.protocols import NARROW, PROTOCOLS, get_protocol
from xmdpt.people.dataset import identity, render_person

SOURCE, TARGET = (f"img/WOMEN/Dresses/id_00000001/01_{view}.jpg" for view in ("1_front", "2_side"))
REAL = ("pidm", "cfld", "cfld-512", "pcdms", "patn", "leffa", "clean")


@pytest.fixture(scope="module")
def pair() -> tuple[Image.Image, Image.Image]:
    """A result, 256x256, and its larger reference: two views of one rendered person."""
    torch.set_num_threads(1)
    views = [render_person(identity(0, 0), view, 384, 4)[0] for view in (0, 1)]
    result, reference = (Image.fromarray(view) for view in views)
    return result.resize((256, 256), Image.Resampling.BICUBIC), reference


@pytest.fixture(scope="module")
def folders(pair, tmp_path_factory):
    """The pair as folders of a result and of a reference, and two training pictures."""
    root = tmp_path_factory.mktemp("pair")
    result, reference = pair
    for name in ("results", "references", "train"):
        (root / name).mkdir()
    result.save(root / "results" / result_name(SOURCE, TARGET))
    path = root / "references" / TARGET
    path.parent.mkdir(parents=True)
    reference.save(path.with_suffix(".png"))
    for number in range(2):
        reference.rotate(5 * number).save(root / f"train/{number}.png")
    return root


def ssim_by_hand(prediction, target, window, data_range, unbiased=1.0) -> float:
    """Wang et al. (2004), equation 13, over every place where the whole window fits."""
    prediction, target = (x.astype(np.float64) for x in (prediction, target))
    values = []
    for x, y in zip(np.moveaxis(prediction, -1, 0), np.moveaxis(target, -1, 0), strict=True):
        mean = lambda z: fftconvolve(z, window, mode="valid")  # noqa: E731
        mx, my = mean(x), mean(y)
        vx, vy = unbiased * (mean(x * x) - mx**2), unbiased * (mean(y * y) - my**2)
        cov = unbiased * (mean(x * y) - mx * my)
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        top, bottom = (2 * mx * my + c1) * (2 * cov + c2), (mx**2 + my**2 + c1) * (vx + vy + c2)
        values.append((top / bottom).mean())
    return float(np.mean(values))


def gauss(sigma: float) -> np.ndarray:
    radius = int(3.5 * sigma + 0.5)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return np.outer(taps, taps) / taps.sum() ** 2


def pil(picture: Image.Image, height: int, width: int, filter="BICUBIC") -> np.ndarray:
    return np.asarray(picture.resize((width, height), Image.Resampling[filter]))


def direct_pixels(name: str, result: Image.Image, reference: Image.Image) -> list[np.ndarray]:
    """Both pictures as the protocol compares them, from libraries alone."""
    match name:
        case "pidm":
            return [np.asarray(result), pil(reference, 256, 256)]
        case "cfld" | "cfld-512":
            size = (256, 176) if name == "cfld" else (512, 352)
            return [pil(result, *size), pil(reference, *size)]
        case "pcdms":
            squares = [np.asarray(result), pil(reference, 256, 256)]
            return [
                cv2.resize(np.float32(square), (176, 256), interpolation=cv2.INTER_CUBIC)
                for square in squares
            ]
        case "patn":
            white = np.full((256, 40, 3), 255, np.uint8)
            narrow = [pil(result, 256, 176), pil(reference, 256, 176)]
            return [np.hstack([white, picture, white]) for picture in narrow]
        case "leffa":
            return [np.asarray(result), pil(reference, 256, 256, "LANCZOS")]
        case "clean":
            return [np.asarray(result), pil(reference, 256, 256)]


SIGMAS = {"pidm": 1.2, "pcdms": 1.2}  # others: 1.5


@pytest.mark.parametrize("name", REAL)
def test_pixels_by_their_definition(name, pair, folders, hub):
    a, b = direct_pixels(name, *pair)
    own_range = 255 if name in ("leffa", "clean") else float(a.max()) - float(a.min())
    wide = [np.pad(x, ((5, 5), (5, 5), (0, 0)), "reflect") for x in (a, b)]
    compared = wide if name == "leffa" else (a, b)
    expected = ssim_by_hand(*compared, gauss(SIGMAS.get(name, 1.5)), own_range)
    row = scored(name, folders)
    assert row["ssim"] == pytest.approx(expected, abs=1e-6)
    unit = [torch.tensor(x.astype(np.float64) / 255) for x in (a, b)]
    assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(*unit, data_range=1.0).item())
    if name.startswith("cfld"):
        window, samples = np.full((51, 51), 1 / 51**2), 51**2
        wide = ssim_by_hand(a, b, window, 255, unbiased=samples / (samples - 1))
        assert row["ssim_win51"] == pytest.approx(wide, abs=1e-6)
    else:
        assert "ssim_win51" not in row


def scored(name: str, folders) -> dict[str, float]:
    table = evaluate_pairs(folders / "results", folders / "references", name, progress=False)
    return table.iloc[0].to_dict()


def test_leffas_ssim_is_that_of_torchmetrics(pair, folders, hub):
    """On pictures in [0, 1] and single precision, as its script calls it."""
    a, b = (
        torch.tensor(np.float32(x) / 255).movedim(-1, 0)[None]
        for x in direct_pixels("leffa", *pair)
    )
    expected = structural_similarity_index_measure(a, b, data_range=1.0).item()
    assert scored("leffa", folders)["ssim"] == pytest.approx(expected, abs=1e-4)


def test_protocols_differ_as_the_field_found(folders, hub):
    """In sign: measured on real results of three models, each difference was the same way."""
    rows = {name: scored(name, folders) for name in REAL}
    ssim, psnr = ({name: row[key] for name, row in rows.items()} for key in ("ssim", "psnr"))
    assert ssim["patn"] > ssim["pidm"] > ssim["pcdms"] > ssim["cfld"]
    assert ssim["pidm"] > ssim["clean"] > ssim["cfld"]  # sigma 1.5 at 256x256 lies between
    assert psnr["patn"] > psnr["cfld"] > psnr["pidm"]
    # White borders agree perfectly: the padded error is that of 176 of 256 columns.
    assert psnr["patn"] - psnr["cfld"] == pytest.approx(10 * np.log10(256 / 176), abs=1e-6)
    assert rows["pcdms"]["lpips"] < rows["pidm"]["lpips"]  # fed half the contrast


# Networks


@pytest.mark.parametrize("name", ["pidm", "cfld", "pcdms", "patn", "leffa", "clean"])
def test_perceptual_distances_by_their_definition(name, pair, folders, hub):
    if name in ("pidm", "pcdms"):
        filters = {"pidm": cv2.INTER_LINEAR, "pcdms": cv2.INTER_CUBIC}
        squares = [np.asarray(pair[0]), pil(pair[1], 256, 256)]
        a, b = (
            cv2.resize(np.float32(square), (176, 256), interpolation=filters[name])
            for square in squares
        )
    else:
        a, b = direct_pixels("cfld" if name == "patn" else name, *pair)
    unit = [torch.tensor(np.float32(x) / 255).movedim(-1, 0)[None] for x in (a, b)]
    nets = {"leffa": ["squeeze"], "clean": ["alex", "squeeze"]}.get(name, ["alex"])
    row = scored(name, folders)
    for net in nets:
        theirs = package_lpips(net, hub)
        with torch.no_grad():
            expected = theirs(*unit, normalize=name != "pcdms").item()
        column = "lpips" if net == "alex" else f"lpips_{net}"
        assert row[column] == pytest.approx(expected, rel=1e-3)
    assert {"lpips", "lpips_squeeze"} & set(row) == {
        "lpips" if net == "alex" else f"lpips_{net}" for net in nets
    }


def test_distances_of_every_protocol(folders, hub):
    """Two training pictures and two results: all columns are there and finite."""
    columns = {"pidm": {"fid", "kid"}, "leffa": {"fid", "kid", "clean_fid", "clean_kid"},
               "clean": {"clean_fid", "clean_kid"}}  # fmt: skip
    results = folders / "two"
    results.mkdir()
    (picture,) = (folders / "results").iterdir()
    (reference,) = (folders / "references").rglob("*.png")
    (results / picture.name).write_bytes(picture.read_bytes())
    other = result_name(SOURCE.replace("1_front", "3_back"), TARGET)
    Image.open(reference).resize((256, 256)).save(results / other)
    for name, expected in columns.items():
        values = evaluate(results, folders / "references", folders / "train", name, progress=False)
        found = {key for key in values if "fid" in key or "kid" in key}
        assert found == expected, name
        assert all(np.isfinite(values[key]) for key in found) and values["count"] == 2


# Preparation


def test_clean_resizing_is_antialiased_and_not_rounded(pair):
    picture = np.asarray(pair[1])
    resized = RESIZERS["pil bicubic float"](picture, (299, 299))
    assert resized.dtype == np.float32 and (resized != resized.round()).any()
    x = torch.tensor(np.float32(picture)).movedim(-1, 0)[None]
    theirs = F.interpolate(x, (299, 299), mode="bicubic", antialias=True).clamp(0, 255)
    np.testing.assert_allclose(resized, theirs[0].movedim(0, -1), atol=0.02)
    whole = RESIZERS["pil bicubic"](picture, (299, 299))
    # On whole numbers PIL rounds, and cuts at 0 and 255, after each of its two passes.
    assert np.abs(resized - whole).max() > 0.4 and np.abs(resized - whole).mean() < 0.5


def test_pcdms_overshoots_and_pidm_does_not():
    columns = np.random.default_rng(0).integers(0, 2, (1, 256, 1), np.uint8)  # black and white
    edge = (255 * columns).repeat(256, axis=0).repeat(3, axis=2)
    pcdms = prepare(edge, get_protocol("pcdms").pixels, (256, 256))
    assert pcdms.min() < -1 and pcdms.max() > 256
    pidm = prepare(edge, get_protocol("pidm").frechet[0].steps, (256, 256))
    assert pidm.dtype == np.float32 and pidm.min() >= 0 and pidm.max() <= 255


def test_a_picture_of_the_scored_size_is_taken_as_it_is():
    narrow = np.random.default_rng(0).integers(0, 256, (256, 176, 3), np.uint8)
    for name in ("cfld", "pcdms", "leffa", "clean"):
        assert prepare(narrow, get_protocol(name).pixels, (256, 176)) is narrow
    assert prepare(narrow, get_protocol("pidm").perceptual[0].steps, (256, 176)) is narrow
    padded = prepare(narrow, get_protocol("patn").pixels, (256, 176))
    assert padded.shape == (256, 256, 3) and (padded[:, :40] == 255).all()
    assert (padded[:, 40:216] == narrow).all() and (padded[:, 216:] == 255).all()
    assert prepare(narrow, (NARROW,), (9, 9)) is narrow


# The table of protocols


def test_protocols_by_name():
    assert list(PROTOCOLS) == [*REAL, "synthetic"]
    (names,) = [EvaluateConfig.model_fields["protocol"].annotation]
    assert set(get_args(names)) == set(PROTOCOLS)
    pidm = get_protocol("pidm")
    assert get_protocol(pidm) is pidm
    with pytest.raises(ValueError, match="'pdim' is not one of pidm, cfld"):
        get_protocol("pdim")
    with pytest.raises(AttributeError):
        pidm.about = ""


def test_who_drops_partial_batches():
    """The field's first script and its forks do, in batches of 64 (PCDMs' FID: 128)."""
    dropped = {
        name: {one.name: one.batch_size for one in (*rules.perceptual, *rules.frechet)
               if one.drop_last}
        for name, rules in PROTOCOLS.items()
    }  # fmt: skip
    both = {"lpips": 64, "fid": 64}
    assert {name: sizes for name, sizes in dropped.items() if sizes} == {
        "pidm": both, "pcdms": {"lpips": 64, "fid": 128}, "patn": both,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name, files",
    [
        ("pidm", ["alexnet-owt-7be5be79.pth", "inception_v3_google-0cc3c7bd.pth"]),
        ("leffa", ["squeezenet1_1-b8a52dc0.pth", URL_INCEPTION_V3.rpartition("/")[2]]),
    ],
)
def test_offline_the_rest_is_still_scored(name, files, folders, no_hub):
    with pytest.warns(UserWarning) as caught:
        values = evaluate(
            folders / "results", folders / "references", folders / "train", name, progress=False
        )
    assert list(values) == ["ssim", "psnr", "count"]
    messages = [str(warning.message) for warning in caught]
    for file in files:
        (message,) = {text for text in messages if file in text}.difference(
            {text for text in messages if file in text and text.startswith("clean_fid")}
        )
        for part in (str(no_hub / file), "https://", "no network", "`synthetic`", "is left out"):
            assert part in message
        assert "\n" not in message


def fed(name, picture):
    """What LPIPS and FID see, of results that are 300x200."""
    pil = RESIZERS["pil bicubic"]
    match name:
        case "pidm":
            return RESIZERS["cv2 bilinear float"](pil(picture, (256, 256)), (256, 176))
        case "pcdms":
            return RESIZERS["cv2 cubic float"](pil(picture, (256, 256)), (256, 176))
        case "cfld" | "patn":
            return pil(picture, (256, 176))
        case "cfld-512":
            return pil(picture, (512, 352))
        case "leffa":
            return RESIZERS["pil lanczos"](picture, (300, 200))
        case _:
            return pil(picture, (300, 200))


@pytest.mark.parametrize("name", [*PROTOCOLS])
def test_what_networks_see_by_its_definition(name):
    picture = np.random.default_rng(0).integers(0, 256, (384, 384, 3), np.uint8)
    rules, seen = get_protocol(name), fed(name, picture)
    assert np.array_equal(prepare(picture, rules.perceptual[0].steps, (300, 200)), seen)
    if name == "clean":  # clean-fid resizes by itself
        seen = RESIZERS["pil bicubic float"](picture, (299, 299))
    assert np.array_equal(prepare(picture, rules.frechet[0].steps, (300, 200)), seen)

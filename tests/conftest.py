"""Real components at tiny size: drawn people in DeepFashion's layout, a small VAE and model."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw

from xmdpt.model import XMDPTTransformer2DModel

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same numbers on every machine
os.chdir(Path(__file__).parents[1])  # files of the repository go by their names there
SIZE = 64


def draw_person(path, keypoints_path, color, lean):
    """A coloured figure of 44x64 pixels and its joints in the annotation frame."""
    image = Image.new("RGB", (44, 64), "white")
    canvas = ImageDraw.Draw(image)
    canvas.ellipse((18 + lean, 6, 26 + lean, 14), fill=(200, 150, 120))
    canvas.rectangle((15 + lean, 15, 29 + lean, 38), fill=color)
    canvas.rectangle((17, 38, 27, 60), fill=(40, 40, 90))
    path.parent.mkdir(parents=True, exist_ok=True)
    keypoints_path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95)
    joints = np.full((18, 2), -1.0)
    joints[:14] = np.linspace((22 + lean, 10), (22, 60), 14) * 4 + [40, 0]
    np.savetxt(keypoints_path, joints)


def body(scale=1.0, shift=(0.0, 0.0)) -> np.ndarray:
    """A standing person about 100 wide and 300 high."""
    points = [(50, 20), (50, 60), (25, 62), (15, 110), (12, 155), (75, 62), (85, 110), (88, 155),
              (35, 160), (33, 230), (32, 300), (65, 160), (67, 230), (68, 300), (45, 14), (55, 14),
              (38, 18), (62, 18)]  # fmt: skip
    return np.array(points, float) * scale + shift


def points_out(frame, keypoints, size) -> np.ndarray:
    """The inverse of the frame's `points_in`."""
    scale = np.array([frame.width / size[1], frame.height / size[0]])
    outside = np.asarray(keypoints, np.float64) * scale + [frame.left, frame.top]
    outside[(np.asarray(keypoints) == -1).all(axis=1)] = -1
    return outside


def write_dataset(root, people=4, views=3):
    """People 0.. in one colour each, `views` pictures of each; the last is the test person."""
    names = {"train": [], "test": []}
    for person in range(people):
        split = "test" if person == people - 1 else "train"
        for view in range(views):
            stem = f"WOMEN/Tees_Tanks/id_{person:08d}/01_{view}_front"
            color = tuple(int(c) for c in np.random.default_rng(person).integers(0, 256, 3))
            draw_person(
                root / "img" / f"{stem}.jpg", root / "pose" / f"{stem}.txt", color, 3 * view - 3
            )
            names[split].append(f"img/{stem}.jpg")
    for split, pictures in names.items():
        (root / f"{split}.lst").write_text("\n".join(pictures) + "\n")
        pairs = [
            f"{target},{source}"
            for target in pictures
            for source in pictures
            if target != source and target.split("/")[3] == source.split("/")[3]
        ]
        (root / f"{split}_pairs.txt").write_text("\n".join(pairs) + "\n")
    return root


@pytest.fixture(scope="module", autouse=True)
def own_process_state():
    """What a module changes for its process ends with it."""
    threads, environment = torch.get_num_threads(), dict(os.environ)
    yield
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="session")
def tiny_vae():
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
        scaling_factor=0.5,
    ).eval()


def make_model(randomize=True, **changes):
    """A model for 8x8 latents; randomised, since adaLN-Zero starts blocks as identities."""
    settings = {
        "sample_size": 8,
        "hidden_size": 32,
        "depth": 3,
        "num_heads": 2,
        "decode_layers": 1,
        "pose_tokens": 17,
        "pose_width": 516,
        "source_tokens": 17,
        "source_width": 516,
    }
    torch.manual_seed(0)
    model = XMDPTTransformer2DModel(**settings | changes)
    if randomize:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def untrained_inception() -> torch.nn.Module:
    """torch-fidelity's Inception in random weights; its own builder would load some."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    class Untrained(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments, **settings):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
        return Untrained("inception-v3-compat", ["2048"])


@pytest.fixture(scope="session")
def saved_networks(tmp_path_factory):
    """A home of torch with every network that metrics look through, in random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision import models

    from xmdpt.perceptual import TRUNKS

    root = tmp_path_factory.mktemp("torch")
    checkpoints = root / "hub/checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    for trunk in TRUNKS.values():
        features = getattr(models, trunk.builder)(weights=None).features.state_dict()
        state = {f"features.{key}": value for key, value in features.items()}
        torch.save(state, checkpoints / trunk.url.rpartition("/")[2])
    inception = models.inception_v3(weights=None, init_weights=False).state_dict()
    torch.save(inception, checkpoints / "inception_v3_google-0cc3c7bd.pth")
    torch.save(untrained_inception().state_dict(), checkpoints / URL_INCEPTION_V3.split("/")[-1])
    return root


@pytest.fixture(scope="module")
def hub(saved_networks):
    """The folder of checkpoints in torch's home, which `saved_networks` is for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(saved_networks))
        yield saved_networks / "hub/checkpoints"


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """The folder of checkpoints in a home of torch that is empty, and no network to fill it."""

    def no_network(*arguments, **settings):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    return tmp_path / "torch/hub/checkpoints"

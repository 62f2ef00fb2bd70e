"""Real components at tiny size: drawn people in DeepFashion's layout, a small VAE and model."""

import os
from pathlib import Path

import pytest
import torch
from helpers.networks import make_vae, untrained_inception
from helpers.people import SIZE, write_dataset

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same numbers on every machine
os.chdir(Path(__file__).parents[1])  # files of the repository go by their names there


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
    return make_vae(SIZE, scaling_factor=0.5)


@pytest.fixture(scope="module")
def saved_pipe(pipe, tmp_path_factory):
    """The folder of the module's own pipeline, its fixture `pipe`."""
    folder = tmp_path_factory.mktemp("weights")
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def saved_networks(tmp_path_factory):
    """A home of torch with every network that metrics look through, in random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision import models

    from xmdpt.metrics.perceptual import TRUNKS

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

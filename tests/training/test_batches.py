"""What a step trains on: keyed by seed and step, whole epochs, sources and flips that match."""

import time

import numpy as np
import pytest
import torch

from xmdpt.features.cache import FeatureCache, PairBatches
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.train import READERS, draw_batch, read_ahead


def test_batches_are_whole_shuffled_epochs():
    drawn = torch.cat([batch_indices(3, step, 4, 10) for step in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()
    assert torch.equal(batch_indices(3, 4, 4, 10), drawn[16:])


def test_keys_tell_generators_apart():
    draws = {
        torch.rand(1, generator=keyed_generator(*keys)).item()
        for keys in ((0,), (0, "a"), (0, "b"), (1, "a"), (0, "a", 1))
    }
    assert len(draws) == 5


def test_a_batch_depends_on_seed_and_step_alone(features, data, config):
    first, again, other = (
        draw_batch(
            PairBatches(FeatureCache(features), data.targets("train"), seed), config.train, 16, 5
        )
        for seed in (0, 0, 1)
    )
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
        assert not torch.equal(value, other[name]), name


def test_a_target_comes_with_any_of_its_sources(features, data, monkeypatch):
    """As in the authors' code: a target with many sources counts as much as one with one."""
    names = data.pictures("train")
    cache = FeatureCache(features)
    rows_read = []
    read = cache.read
    monkeypatch.setattr(
        cache, "read", lambda array, rows, flips: rows_read.append(rows) or read(array, rows, flips)
    )
    batches = PairBatches(cache, [(names[0], tuple(names[1:4])), (names[4], (names[5],))], 0)
    batches.batch(0, torch.arange(300) % 2)
    both = np.stack(rows_read[-2:], axis=1)  # the latents' rows: source and target, or swapped
    first, second = both[::2], both[1::2]
    counts = [(first == cache.rows[name]).any(axis=1).sum() for name in names[1:4]]
    assert (first == cache.rows[names[0]]).any(axis=1).all()
    assert sum(counts) == 150 and min(counts) > 30
    assert {*second.flatten()} == {cache.rows[names[4]], cache.rows[names[5]]}


def test_a_batch_has_the_targets_pose_the_sources_tokens_and_one_flip(features, data, monkeypatch):
    calls, cache = [], FeatureCache(features)
    read = cache.read
    monkeypatch.setattr(cache, "read", lambda *call: calls.append(call) or read(*call))
    PairBatches(cache, data.targets("train"), 0).batch(0, torch.arange(8))
    arrays, rows, flips = zip(*calls, strict=True)
    assert arrays == ("pose_tokens", "source_tokens", "moments", "moments")
    pose, tokens, source, target = rows
    assert (pose == target).all() and (tokens == source).all() and (source != target).all()
    assert all((each == flips[0]).all() for each in flips) and {*flips[0]} == {0, 1}


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_reading_ahead_keeps_the_order_and_a_few_batches_in_store(count):
    drawn = []
    taken = []
    for batch in read_ahead(lambda step: drawn.append(step) or step, range(3, 3 + count)):
        taken.append(batch)
        time.sleep(0.02)
        assert len(drawn) <= len(taken) + READERS
    assert sorted(drawn) == taken == list(range(3, 3 + count))


def test_each_latent_is_that_of_its_picture(features, data, monkeypatch):
    cache, places = FeatureCache(features), {}
    read = cache.read
    monkeypatch.setattr("xmdpt.features.cache.sample_latent", lambda moments, *_: moments)
    monkeypatch.setattr(
        cache, "read", lambda array, *place: places.setdefault(array, place) and read(array, *place)
    )
    batch = PairBatches(cache, data.targets("train"), 0).batch(0, torch.arange(8))
    for kind, tokens in (("source", "source_tokens"), ("target", "pose_tokens")):
        assert torch.equal(batch[f"{kind}_latent"], read("moments", *places[tokens])), kind

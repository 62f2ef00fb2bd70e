"""How alike condition vectors are, within a person and between people."""

import pytest
import torch

from xmdpt.data.pairs import outfit, views_of_people
from xmdpt.features.cache import FeatureCache
from xmdpt.training.invariance import InvarianceProbe, mean_cosines
from xmdpt.training.run import build_model


def test_cosines_of_known_vectors():
    half = 2**-0.5
    vectors = torch.tensor([[3.0, 0.0], [half, half], [0.0, 2.0], [0.0, -1.0]])
    within, between = mean_cosines(vectors, [0, 0, 1, 1])
    assert within == pytest.approx((half - 1) / 2)
    assert between == pytest.approx((0 + 0 + half - half) / 4)


def test_views_are_of_one_person_each(data):
    views = views_of_people(data.pictures("train"), people=2, views=2)
    assert [len(pictures) for pictures in views] == [2, 2]
    assert all(len({outfit(name) for name in pictures}) == 1 for pictures in views)
    assert outfit(views[0][0]) != outfit(views[1][0])


def test_people_with_one_picture_do_not_count():
    names = [f"img/WOMEN/Dresses/id_0000000{person}/01_1_front.jpg" for person in (1, 2)]
    assert views_of_people([*names, names[0].replace("front", "back")]) == [
        [names[0].replace("front", "back"), names[0]]
    ]


def test_people_with_too_few_pictures_do_not_count():
    folders = [f"img/WOMEN/Dresses/id_0000000{person}" for person in (1, 2)]
    names = [f"{folders[0]}/01_{n}_front.jpg" for n in range(2)]
    names += [f"{folders[1]}/01_{n}_front.jpg" for n in range(3)]
    assert views_of_people(names, least=3) == [names[2:]]


def test_one_person_under_two_numbers_is_no_control_of_himself():
    names = [f"img/WOMEN/Pants/id_09100000/0{n}_{{}}.jpg" for n in (1, 2)]
    views = [[name.format("3_back"), name.format("4_full")] for name in names]
    assert not InvarianceProbe(None, views).comparable


def test_the_probe_sees_the_source_and_a_fixed_pose(features, data, config):
    cache = FeatureCache(features)
    views = views_of_people(data.pictures("train"), people=2, views=2)
    model = build_model(config, cache)
    with torch.no_grad():
        for weight in model.canet.parameters():
            weight.normal_()
    probe = InvarianceProbe(cache, views)
    assert torch.equal(probe.pose[0], probe.pose[-1])
    cosines = probe(model)
    assert set(cosines) == {"cosine_person", "cosine_people"}
    assert all(-1 <= value <= 1 for value in cosines.values())
    twice = InvarianceProbe(cache, [[views[0][0]] * 2, [views[1][0]] * 2])(model)
    assert twice["cosine_person"] == pytest.approx(1, abs=1e-6)
    assert twice["cosine_people"] < 1 - 1e-6
    assert InvarianceProbe(cache, views[:1])(model) == {}, "nobody to compare with"

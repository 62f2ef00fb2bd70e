"""How alike condition vectors are, within a person and between people."""

import pytest
import torch
from helpers.people import SIZE

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import outfit, views_of_people
from xmdpt.training.invariance import mean_cosines


def test_cosines_of_known_vectors():
    half = 2**-0.5
    vectors = torch.tensor([[3.0, 0.0], [half, half], [0.0, 2.0], [0.0, -1.0]])
    within, between = mean_cosines(vectors, [0, 0, 1, 1])
    assert within == pytest.approx((half - 1) / 2)
    assert between == pytest.approx((0 + 0 + half - half) / 4)


def test_views_are_of_one_person_each(people):
    views = views_of_people(DeepFashion(people, SIZE).pictures("train"), people=2, views=2)
    assert [len(pictures) for pictures in views] == [2, 2]
    assert all(len({outfit(name) for name in pictures}) == 1 for pictures in views)
    assert outfit(views[0][0]) != outfit(views[1][0])


def test_people_with_one_picture_do_not_count():
    names = [f"img/WOMEN/Dresses/id_0000000{person}/01_1_front.jpg" for person in (1, 2)]
    assert views_of_people([*names, names[0].replace("front", "back")]) == [
        [names[0].replace("front", "back"), names[0]]
    ]

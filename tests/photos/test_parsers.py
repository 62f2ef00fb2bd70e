"""Properties of the parsers of joints: joints come out, or an error of our own."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmdpt.data.keypoints import missing
from xmdpt.photos.joints import read_keypoints
from xmdpt.photos.loading import PhotoError

CASES = int(os.environ.get("XMDPT_CASES", "200"))
"""Of each property, the same each time; a long run sets more, and looks elsewhere each time."""
thoroughly = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize="XMDPT_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)

numbers = st.one_of(
    st.integers(),
    st.integers(-10, 300),
    st.floats(),
    st.floats(-1, 1),
    st.sampled_from([-1, 0, 10**400, 1e308, 2**63]),
)
words = st.sampled_from(
    [
        "people",
        "pose_keypoints_2d",
        "keypoints",
        "keypoint_scores",
        "bodies",
        "candidate",
        "subset",
        "landmarks",
        "instances",
        "annotations",
        "canvas_width",
        "canvas_height",
        "x",
        "y",
        "visibility",
        "image_id",
    ]
)
trees = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=20), st.dictionaries(words, inner, max_size=4)
    ),
    max_leaves=60,
)
joints = st.lists(st.lists(numbers, min_size=2, max_size=3), min_size=17, max_size=18)
flat = st.lists(numbers, min_size=51, max_size=54)
almost = st.one_of(
    joints,
    st.lists(st.fixed_dictionaries({"pose_keypoints_2d": flat}), max_size=3).map(
        lambda people: {"people": people}
    ),
    st.fixed_dictionaries({"keypoints": flat}, optional={"image_id": numbers}),
    st.fixed_dictionaries(
        {"keypoints": joints, "keypoint_scores": st.lists(numbers, min_size=17, max_size=18)}
    ),
    st.fixed_dictionaries(
        {
            "bodies": st.fixed_dictionaries(
                {"candidate": joints, "subset": st.lists(flat, max_size=2)}
            ),
            "canvas_width": numbers,
            "canvas_height": numbers,
        }
    ),
    st.lists(
        st.fixed_dictionaries({"x": numbers, "y": numbers}, optional={"visibility": numbers}),
        min_size=33,
        max_size=33,
    ),
)


def read(content: bytes, suffix: str, size: tuple[int, int] | None) -> None:
    """Read a file of this content; fails for anything but joints and a PhotoError of one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"pose{suffix}"
        path.write_bytes(content)
        try:
            points = read_keypoints(path, size)
        except PhotoError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            return
    assert points.shape == (18, 2) and np.isfinite(points).all()
    assert (points[missing(points)] == -1).all() and (~missing(points)).sum() >= 4


sizes = st.sampled_from([None, (256, 176), (32, 5000)])


@given(content=st.binary(max_size=400), suffix=st.sampled_from([".txt", ".csv", ".json", ".npy"]))
@thoroughly
def test_any_bytes(content, suffix):
    read(content, suffix, None)


@given(tree=st.one_of(trees, almost), size=sizes)
@thoroughly
def test_any_json(tree, size):
    read(json.dumps(tree).encode(), ".json", size)


lines = st.lists(
    st.lists(st.one_of(numbers.map(str), st.text(max_size=4)), max_size=4).map(" ".join),
    max_size=20,
)


@given(rows=st.one_of(lines, joints.map(lambda rows: [" ".join(map(str, r)) for r in rows])))
@thoroughly
def test_any_rows_of_text(rows):
    read("\n".join(rows).encode("utf-8", "replace"), ".txt", (256, 176))


@given(depth=st.integers(1, 100_000))
@settings(thoroughly, max_examples=5)
def test_any_depth(depth):
    read(b"[" * depth + b"1" + b"]" * depth, ".json", None)

"""The skeleton picture, bit for bit, and the coordinate frames."""

import numpy as np
import pytest
import torch
from helpers.people import SIZE
from helpers.repository import ROOT
from safetensors.numpy import load_file
from transformers import Dinov2Config, Dinov2Model

from xmdpt.data.keypoints import annotation_to_pixels, draw_skeleton
from xmdpt.features.encoders import make_encoder, network_input
from xmdpt.support.pictures import to_signed

GOLDEN = load_file(ROOT / "tests/golden/pose_small.safetensors")


@pytest.mark.parametrize("index", range(len(GOLDEN["in.keypoints"])))
def test_skeleton_equals_the_authors(index):
    pixels = annotation_to_pixels(GOLDEN["in.keypoints"][index], (256, 256))
    skeleton = draw_skeleton(pixels, (256, 256))
    normalized = np.round(skeleton / skeleton.max(initial=1) * 255).astype(np.uint8)
    assert np.array_equal(normalized.transpose(2, 0, 1), GOLDEN["out.pose_map_u8"][index])


def test_annotation_frame():
    keypoints = np.full((18, 2), -1.0)
    keypoints[0] = (40, 0)
    keypoints[1] = (40 + 176, 256)
    keypoints[2] = (40 + 88, 128)
    pixels = annotation_to_pixels(keypoints, (512, 352))
    assert pixels[:3].tolist() == [[0, 0], [352, 512], [176, 256]]
    assert (pixels[3:] == -1).all()


def test_no_joint_is_a_black_picture_without_nan():
    skeleton = draw_skeleton(np.full((18, 2), -1), (64, 48))
    assert skeleton.shape == (64, 48, 3)
    assert skeleton.max() == 0


def test_a_skeleton_without_joints_gives_numbers():
    """The authors' code divides by the picture's maximum: 0 / 0."""
    black = draw_skeleton(np.full((18, 2), -1.0), (SIZE, SIZE))
    assert black.max() == 0
    assert torch.isfinite(make_encoder("efficientnet_lite0")(to_signed(black[None]))).all()
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=224
    )
    pose = network_input(to_signed(black[None]), "skeleton", imagenet_normalization=False)
    tokens = Dinov2Model(config).eval()(pose).last_hidden_state
    assert (pose == 0).all() and torch.isfinite(tokens).all()


def test_joint_outside_the_picture_is_clipped():
    keypoints = np.full((18, 2), -1.0)
    keypoints[0] = (-3, 10)
    assert draw_skeleton(keypoints, (64, 64))[10, 0].any()


@pytest.mark.parametrize(
    "keypoints", [np.zeros((17, 2)), np.zeros((18, 3)), np.full((18, 2), np.nan)]
)
def test_bad_keypoints_are_refused(keypoints):
    with pytest.raises(ValueError, match=r"\(18, 2\)|NaN"):
        draw_skeleton(keypoints, (64, 64))

"""Detectors in the hub's layout, loaded for real at tiny size; hooks make their answers known."""

import numpy as np
import pytest
import torch
from helpers.people import points_out
from huggingface_hub import constants
from PIL import Image
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    SwinConfig,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)

from xmdpt.data.keypoints import JOINTS, missing
from xmdpt.photos.framing import CANVAS
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.subjects import Subject, read_photo_subject

LABELS = {0: "cat", 1: "person", 2: "tree"}
PHOTO = (200, 100)  # width, height
BOXES = torch.tensor([[20.0, 10, 60, 90], [100, 5, 190, 95]])
HEATMAP = (16, 12)


def detector(folder):
    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], layer_type="basic",
        out_indices=[2, 3, 4],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=backbone, encoder_in_channels=[8, 8, 8], encoder_hidden_dim=16,
        encoder_ffn_dim=16, encoder_attention_heads=2, d_model=16, num_queries=6,
        decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=1,
        decoder_attention_heads=2, id2label=LABELS, label2id={v: k for k, v in LABELS.items()},
    )  # fmt: skip
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def pose_estimator(folder):
    backbone = VitPoseBackboneConfig(
        image_size=(64, 48), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        out_indices=[1],
    )  # fmt: skip
    config = VitPoseConfig(backbone_config=backbone, num_labels=17)
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)


def segmenter(folder):
    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=16, dim_feedforward=16, encoder_layers=1, decoder_layers=2,
        num_attention_heads=2, num_queries=4, id2label=LABELS,
        label2id={v: k for k, v in LABELS.items()},
    )  # fmt: skip
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("hub")
    for build in (detector, pose_estimator, segmenter):
        build(root / build.__name__)
    return [root / build.__name__ for build in (detector, pose_estimator, segmenter)]


def see_people(finder, boxes, labels=None, scores=None):
    """Let the detector answer with `boxes` (N, 4), of which the model knows at most 6."""
    labels = [1] * len(boxes) if labels is None else labels
    scores = [0.9] * len(boxes) if scores is None else scores

    def answer(_module, _inputs, outputs):
        width, height = PHOTO
        logits, centred = torch.full((1, 6, 3), -9.0), torch.full((1, 6, 4), 0.5)
        for row, (box, label, score) in enumerate(zip(boxes, labels, scores, strict=True)):
            left, top, right, bottom = box
            logits[0, row, label] = torch.logit(torch.tensor(score))
            centred[0, row] = torch.tensor([
                (left + right) / 2 / width, (top + bottom) / 2 / height,
                (right - left) / width, (bottom - top) / height,
            ])  # fmt: skip
        assert outputs.logits.shape == logits.shape and outputs.pred_boxes.shape == centred.shape
        outputs.logits, outputs.pred_boxes = logits, centred
        return outputs

    finder._detector[1].register_forward_hook(answer)


def see_joints(finder, cells, scores):
    """Let the pose estimator answer with blobs at `cells` (17, 2), column and row."""

    def answer(_module, _inputs, outputs):
        rows, columns = np.mgrid[: HEATMAP[0], : HEATMAP[1]]
        maps = [
            score * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 2)
            for (u, v), score in zip(cells, scores, strict=True)
        ]
        assert outputs.heatmaps.shape == (1, 17, *HEATMAP)
        outputs.heatmaps = torch.tensor(np.stack(maps)[None], dtype=torch.float32)
        return outputs

    finder._pose[1].register_forward_hook(answer)


def in_photo(cells, box):
    """Where heat map cells lie: ViTPose looks at 1.25 times the box, grown to 3:4."""
    left, top, right, bottom = box
    height = max(bottom - top, (right - left) * 4 / 3) * 1.25
    size = np.array([height * 3 / 4, height])
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    return centre + (np.asarray(cells) / [HEATMAP[1] - 1, HEATMAP[0] - 1] - 0.5) * size


@pytest.fixture
def finder(folders):
    return PeopleFinder(*folders)


@pytest.fixture
def photo():
    noise = np.random.default_rng(0).integers(0, 256, (PHOTO[1], PHOTO[0], 3), np.uint8)
    return Image.fromarray(noise)


CELLS = np.array([(3 + joint % 6, 3 + joint // 2) for joint in range(17)], float)


def test_models_as_they_are_give_boxes_and_joints(finder, photo):
    """Random weights see nobody for certain, but all of the way is walked."""
    for box, score in finder.boxes(photo):
        assert len(box) == 4 and 0.5 <= score <= 1
    keypoints = finder.keypoints(photo, (20, 10, 60, 90))
    assert keypoints.shape == (18, 2) and np.isfinite(keypoints).all()


def test_people_come_largest_first_without_cats_doubts_and_doubles(finder, photo):
    double = BOXES[1] + torch.tensor([1.0, 0, 1, 0])
    cat, doubt = torch.tensor([0.0, 0, 50, 50]), torch.tensor([60.0, 0, 90, 50])
    see_people(finder, [*BOXES, double, cat, doubt], [1, 1, 1, 0, 1], [0.9, 0.8, 0.7, 0.95, 0.4])
    found = finder.boxes(photo)
    np.testing.assert_allclose([box for box, _ in found], BOXES[[1, 0]], atol=1e-3)
    np.testing.assert_allclose([score for _, score in found], [0.8, 0.9], atol=1e-4)


def test_nobody_found_says_how_near_it_was(folders, photo, tmp_path):
    photo.save(tmp_path / "fog.png")
    subject = Subject(tmp_path / "fog.png", crop=True)
    doubtful, sure = PeopleFinder(*folders), PeopleFinder(*folders, person_score=0.25)
    for finder in (doubtful, sure):
        see_people(finder, BOXES[:1], [1], [0.31])
    with pytest.raises(PhotoError, match=r"fog\.png: no person found: the best score is 0\.31, and "
                       r"0\.50 or more is wanted; .*--person-score"):  # fmt: skip
        read_photo_subject(subject, doubtful, want_keypoints=False)
    framed = read_photo_subject(subject, sure, want_keypoints=False)
    middle = float(BOXES[0][[0, 2]].mean())
    assert abs(framed.frame.left + framed.frame.width / 2 - middle) <= 1


def test_known_joints_come_out_in_pixels_of_the_photo(finder, photo):
    scores = np.full(17, 0.9)
    scores[[4, 16]] = 0.1  # right ear, right ankle
    see_joints(finder, CELLS, scores)
    box = tuple(BOXES[0].tolist())
    keypoints = finder.keypoints(photo, box)
    expected = in_photo(CELLS, box)
    absent = [JOINTS[joint] for joint in missing(keypoints).nonzero()[0]]
    assert absent == ["right_ankle", "right_ear"]
    for ours, theirs in (("nose", 0), ("left_eye", 1), ("left_wrist", 9), ("right_knee", 14)):
        np.testing.assert_allclose(keypoints[JOINTS.index(ours)], expected[theirs], atol=0.05)
    np.testing.assert_allclose(keypoints[1], (expected[5] + expected[6]) / 2, atol=0.05)


def test_no_neck_without_both_shoulders(finder, photo):
    scores = np.full(17, 0.9)
    scores[5] = 0.1
    see_joints(finder, CELLS, scores)
    keypoints = finder.keypoints(photo, (20, 10, 60, 90))
    assert [JOINTS[j] for j in missing(keypoints).nonzero()[0]] == ["neck", "left_shoulder"]


def test_a_photo_is_framed_by_what_was_found(finder, photo, tmp_path):
    photo.save(tmp_path / "two.png")
    see_people(finder, BOXES)
    see_joints(finder, CELLS, np.full(17, 0.9))
    with pytest.raises(PhotoError, match=r"two.png: shows 2 people; choose one with person N: "
                       r"1: 100,5 to 190,95 .*; 2: 20,10 to 60,90"):  # fmt: skip
        read_photo_subject(Subject(tmp_path / "two.png"), finder, want_keypoints=True)
    subject = Subject(tmp_path / "two.png", person=2)
    framed = read_photo_subject(subject, finder, want_keypoints=True)
    found = points_out(framed.frame, framed.keypoints, CANVAS)
    expected = in_photo(CELLS, BOXES[0].tolist())
    seen = ~missing(framed.keypoints)
    for ours, theirs in (("nose", 0), ("left_hip", 11), ("right_ankle", 16)):
        joint = JOINTS.index(ours)
        assert seen[joint]
        np.testing.assert_allclose(found[joint], expected[theirs], atol=0.05)


def test_nobody_and_too_few_joints_are_refused(folders, photo, tmp_path):
    photo.save(tmp_path / "sea.png")
    subject = Subject(tmp_path / "sea.png")
    finder = PeopleFinder(*folders)
    see_people(finder, [])
    with pytest.raises(PhotoError, match=r"sea.png: no person found"):
        read_photo_subject(subject, finder, want_keypoints=False)
    finder = PeopleFinder(*folders)
    see_people(finder, BOXES[:1])
    see_joints(finder, CELLS, np.array([0.9] * 3 + [0.1] * 14))
    with pytest.raises(PhotoError, match=r"sea.png: 3 joints \(nose, right eye, left eye\)"):
        read_photo_subject(subject, finder, want_keypoints=True)


def test_the_background_turns_white(finder, photo, tmp_path):
    """Two people and a cat: the outline of the person meant is kept, all else is white."""
    masks = torch.full((1, 4, 16, 16), -9.0)
    masks[0, 0, 2:14, 2:5] = 9.0
    masks[0, 1, 1:15, 8:15] = 9.0
    masks[0, 2, :, :] = 9.0
    logits = torch.full((1, 4, 4), -9.0)
    logits[0, range(4), torch.tensor([1, 1, 0, 3])] = 9.0

    def answer(_module, _inputs, outputs):
        assert outputs.masks_queries_logits.shape == masks.shape
        assert outputs.class_queries_logits.shape == logits.shape
        outputs.masks_queries_logits, outputs.class_queries_logits = masks, logits
        return outputs

    finder._segmenter[1].register_forward_hook(answer)
    cut = np.array(finder.cut_out(photo, tuple(BOXES[1].tolist())))
    inside, original = (slice(10, 90), slice(104, 184)), np.array(photo)
    assert np.array_equal(cut[inside], original[inside])
    assert (cut[:, :95] == 255).all() and (cut[:2] == 255).all() and (cut[97:] == 255).all()
    with pytest.raises(PhotoError, match="no outline"):
        finder.cut_out(photo, (60, 0, 90, 20), "me.jpg")


def test_models_that_cannot_be_loaded_are_one_line(folders, photo, tmp_path):
    broken, nowhere = tmp_path / "broken", tmp_path / "nowhere"
    detector(broken)
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    box = (0, 0, 50, 50)
    for finder, ask, says in (
        (PeopleFinder(nowhere), lambda f: f.boxes(photo), "--detector .*nowhere: no folder"),
        (PeopleFinder(broken), lambda f: f.boxes(photo), "--detector .*broken: cannot be loaded"),
        (PeopleFinder(folders[1]), lambda f: f.boxes(photo), "--detector .*joints as a file"),
        (PeopleFinder(pose_estimator=folders[0]), lambda f: f.keypoints(photo, box),
         "--pose-estimator .*is a rt_detr, not a vitpose"),
        (PeopleFinder(segmenter=nowhere), lambda f: f.cut_out(photo, box), "keep the background"),
    ):  # fmt: skip
        with pytest.raises(PhotoError, match=says) as error:
            ask(finder)
        assert len(str(error.value).splitlines()) == 1


def test_all_models_that_joints_need_are_named_at_once(
    folders, photo, tmp_path, monkeypatch, capsys
):
    """Names of the hub that are not in its cache, and no network: it is asked once, for seconds."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(PhotoError) as caught:
        PeopleFinder("nobody/none", "nobody/pose").boxes(photo)
    said = str(caught.value)
    assert said.startswith("--detector nobody/none: is not on this machine")
    assert (
        "nor is --pose-estimator nobody/pose; run `hf download nobody/none --local-dir none` "
        in (said)
    )
    assert "and `hf download nobody/pose --local-dir pose` where" in said and "\n" not in said
    assert constants.HF_HUB_OFFLINE, "so that no library tries for minutes"
    assert capsys.readouterr().err.count("no answer from http://127.0.0.1:9") == 1
    with pytest.raises(PhotoError) as caught:
        PeopleFinder("nobody/none", folders[1]).boxes(photo)
    assert "nor is" not in str(caught.value) and "makes with --detector;" in str(caught.value)

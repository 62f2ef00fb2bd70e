"""Finding people, their joints and their outlines: transformers' RT-DETR, ViTPose, Mask2Former."""

import os
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.ops import nms
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForUniversalSegmentation,
    BaseImageProcessor,
    PreTrainedConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)
from transformers import logging as transformers_logging
from transformers.modeling_utils import PreTrainedModel

from xmdpt.data.keypoints import from_coco17
from xmdpt.photos.framing import Box
from xmdpt.photos.joints import JOINT_SCORE
from xmdpt.photos.loading import PhotoError
from xmdpt.support.hub import is_folder, reason

DETECTOR = "PekingU/rtdetr_r50vd_coco_o365"
POSE_ESTIMATOR = "usyd-community/vitpose-base-simple"
SEGMENTER = "facebook/mask2former-swin-tiny-coco-instance"

PERSON_SCORE = 0.5
MASK_SCORE = 0.5


def _load(kind: type, name: str, option: str) -> tuple[BaseImageProcessor, PreTrainedModel]:
    """A processor and a model by hub name or from a local folder; `option` names them."""
    if is_folder(name) and not (Path(name) / "config.json").is_file():
        raise PhotoError(f"{option} {name}: no folder with a config.json")
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        if kind is VitPoseForPoseEstimation:  # no Auto class, which would look at the type
            _require_type(AutoConfig.from_pretrained(name), VitPoseConfig)
        processor = AutoImageProcessor.from_pretrained(name)
        model = kind.from_pretrained(name, use_safetensors=True)
    except Exception as error:  # hub, JSON, safetensors and shapes each raise their own
        if is_folder(name):
            raise PhotoError(f"{option} {name}: cannot be loaded ({reason(error)})") from None
        raise PhotoError(
            f"{option} {name}: is not on this machine, and the hub did not give it; run "
            f"`hf download {name} --local-dir {Path(name).name}` where there is a network, and "
            f"name that folder with {option} ({reason(error)})"
        ) from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    return processor, model.eval()


def _require_type(config: PreTrainedConfig, wanted: type[PreTrainedConfig]) -> None:
    if not isinstance(config, wanted):
        raise ValueError(f"is a {config.model_type}, not a {wanted.model_type}")


def _is_person(model: PreTrainedModel, label: int) -> bool:
    return model.config.id2label.get(label) == "person"


class PeopleFinder:
    """RT-DETR finds people, ViTPose their joints, Mask2Former their outlines; each when needed.

    Args:
        detector, pose_estimator, segmenter: hub names, or local folders in the hub's layout;
            None: the constants above.
        device: where to run them.

    The first use of each loads it; PhotoError says what to do where that fails.
    """

    def __init__(
        self,
        detector: str | os.PathLike | None = None,
        pose_estimator: str | os.PathLike | None = None,
        segmenter: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.names = {
            "--detector": str(detector or DETECTOR),
            "--pose-estimator": str(pose_estimator or POSE_ESTIMATOR),
            "--segmenter": str(segmenter or SEGMENTER),
        }
        self.device = torch.device(device)

    def _get(self, kind: type, option: str) -> tuple[BaseImageProcessor, PreTrainedModel]:
        try:
            processor, model = _load(kind, self.names[option], option)
        except PhotoError as error:
            other = "leave the background" if option == "--segmenter" else "give joints as a file"
            raise PhotoError(f"{error}; or {other}") from None
        return processor, model.to(self.device)

    @cached_property
    def _detector(self) -> tuple[BaseImageProcessor, PreTrainedModel]:
        return self._get(AutoModelForObjectDetection, "--detector")

    @cached_property
    def _pose(self) -> tuple[BaseImageProcessor, PreTrainedModel]:
        return self._get(VitPoseForPoseEstimation, "--pose-estimator")

    @cached_property
    def _segmenter(self) -> tuple[BaseImageProcessor, PreTrainedModel]:
        return self._get(AutoModelForUniversalSegmentation, "--segmenter")

    @torch.no_grad()
    def boxes(self, photo: Image.Image) -> list[tuple[Box, float]]:
        """The people in a photo as (box in pixels, score), the largest first."""
        processor, model = self._detector
        inputs = processor(images=photo, return_tensors="pt").to(self.device)
        found = processor.post_process_object_detection(
            model(**inputs), threshold=PERSON_SCORE, target_sizes=[photo.size[::-1]]
        )[0]
        people = [_is_person(model, int(label)) for label in found["labels"]]
        boxes, scores = found["boxes"].cpu()[people], found["scores"].cpu()[people]
        boxes = boxes.clamp(min=0).minimum(torch.tensor([*photo.size, *photo.size]))
        # RT-DETR needs no suppression in principle; two boxes for one person do occur.
        kept = nms(boxes, scores, 0.7)
        found = [(tuple(boxes[i].tolist()), float(scores[i])) for i in kept]
        return sorted(found, key=lambda item: -_area(item[0]))

    @torch.no_grad()
    def keypoints(self, photo: Image.Image, box: Box) -> np.ndarray:
        """(18, 2) joints in pixels of the photo of the person in `box`, -1 missing."""
        processor, model = self._pose
        left, top, right, bottom = box
        boxes = [[[left, top, right - left, bottom - top]]]
        inputs = processor(images=photo, boxes=boxes, return_tensors="pt").to(self.device)
        if model.config.backbone_config.num_experts > 1:  # ViTPose+: the expert of COCO
            inputs["dataset_index"] = torch.zeros(1, dtype=torch.long, device=self.device)
        outputs = model(**inputs)
        pose = processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]
        points, scores = pose["keypoints"].double().numpy(), pose["scores"].double().numpy()
        if len(points) != 17:
            raise PhotoError(
                f"{self.names['--pose-estimator']}: finds {len(points)} joints, not COCO's 17"
            )
        return from_coco17(points, scores, threshold=JOINT_SCORE)

    @torch.no_grad()
    def cut_out(self, photo: Image.Image, box: Box, name: str = "the photo") -> Image.Image:
        """The photo with white for all but the person in `box`.

        Raises PhotoError where no person's outline covers most of the box.
        """
        processor, model = self._segmenter
        inputs = processor(images=photo, return_tensors="pt").to(self.device)
        found = processor.post_process_instance_segmentation(
            model(**inputs),
            threshold=MASK_SCORE,
            target_sizes=[photo.size[::-1]],
            return_binary_maps=True,
        )[0]
        masks = [
            mask.cpu().numpy() > 0.5
            for mask, info in zip(found["segmentation"], found["segments_info"], strict=False)
            if _is_person(model, info["label_id"])
        ]
        overlaps = [_overlap(_extent(mask), box) for mask in masks]
        if not overlaps or max(overlaps) < 0.5:
            raise PhotoError(f"{name}: no outline of the person was found; leave the background")
        mask = masks[int(np.argmax(overlaps))]
        soft = Image.fromarray(mask.astype(np.uint8) * 255)
        return Image.composite(photo, Image.new("RGB", photo.size, "white"), soft)


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return max(right - left, 0.0) * max(bottom - top, 0.0)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    shared = _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / max(_area(a) + _area(b) - shared, 1e-9)


def _extent(mask: np.ndarray) -> Box:
    """The box of a mask (H, W) with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1

"""Finding people, their joints and their outlines with RT-DETR, ViTPose and Mask2Former."""

import logging
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image

from xmdpt.data.layouts import to_our_joints
from xmdpt.photos.framing import Box
from xmdpt.photos.loading import PhotoError
from xmdpt.support.hub import is_folder, is_to_fetch, reason, spare_retries

# transformers and torchvision take seconds to import: only detection does so.
if TYPE_CHECKING:
    from transformers.modeling_utils import PreTrainedModel

    Loaded = tuple[Any, PreTrainedModel]  # processors have no common interface for results

DETECTOR = "PekingU/rtdetr_r50vd_coco_o365"
POSE_ESTIMATOR = "usyd-community/vitpose-base-simple"
SEGMENTER = "facebook/mask2former-swin-tiny-coco-instance"

JOINTS_NEED = ("--detector", "--pose-estimator")
PERSON_SCORE = 0.5
MASK_SCORE = 0.5


def _is_person(model: "PreTrainedModel", label: int) -> bool:
    labels = cast(dict[int, str], model.config.id2label)
    return labels.get(label) == "person"


class PeopleFinder:
    """RT-DETR finds people, ViTPose their joints, Mask2Former their outlines.

    Args:
        detector, pose_estimator, segmenter: hub names, or local folders in the hub's layout; by
            default the constants above.
        device: where to run them.
        person_score: the lowest score, from 0 to 1, of a person that counts.

    Each is loaded on first use; if that fails, a PhotoError says what to do.
    """

    def __init__(
        self,
        detector: str | os.PathLike[str] | None = None,
        pose_estimator: str | os.PathLike[str] | None = None,
        segmenter: str | os.PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        person_score: float = PERSON_SCORE,
    ) -> None:
        self.names = {
            "--detector": str(detector or DETECTOR),
            "--pose-estimator": str(pose_estimator or POSE_ESTIMATOR),
            "--segmenter": str(segmenter or SEGMENTER),
        }
        self.device = torch.device(device)
        self.person_score = person_score

    @property
    def settings(self) -> tuple[object, ...]:
        """What decides who is found, and where."""
        return self.names, self.person_score

    def _load(self, load: "Callable[..., PreTrainedModel]", option: str) -> "Loaded":
        """The processor and the model that `option` names; `load` is a `from_pretrained`."""
        from transformers import AutoConfig, AutoImageProcessor, VitPoseConfig
        from transformers import logging as transformers_logging

        name = self.names[option]
        other = "keep the background" if option == "--segmenter" else "give joints as a file"
        if is_folder(name) and not (Path(name) / "config.json").is_file():
            raise PhotoError(f"{option} {name}: no folder with a config.json; or {other}")
        verbosity = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity(logging.ERROR)
        if not is_folder(name):
            spare_retries()
        try:
            if option == "--pose-estimator":  # no Auto class, which would check the type
                config = AutoConfig.from_pretrained(name)
                if not isinstance(config, VitPoseConfig):
                    raise ValueError(f"is a {config.model_type}, not a {VitPoseConfig.model_type}")
            # transformers leaves this call untyped
            processor = AutoImageProcessor.from_pretrained(name)  # type: ignore[no-untyped-call]
            model = load(name, use_safetensors=True)
        except Exception as error:  # hub, JSON, safetensors and shapes each raise their own
            what = f"cannot be loaded ({reason(error)})"
            if not is_folder(name):
                what = self._how_to_fetch(option, reason(error))
            raise PhotoError(f"{option} {name}: {what}; or {other}") from None
        finally:
            transformers_logging.set_verbosity(verbosity)
        return processor, model.train(False).to(self.device)

    def _how_to_fetch(self, option: str, reason: str) -> str:
        """What to do about a model of the hub, and about the other that joints in a photo need."""
        wanted = {option: self.names[option]}
        if option in JOINTS_NEED:
            others = {one: self.names[one] for one in JOINTS_NEED}
            wanted |= {one: name for one, name in others.items() if is_to_fetch(name)}
        nor = "".join(f", nor is {one} {name}" for one, name in wanted.items() if one != option)
        fetch = [f"`hf download {name} --local-dir {Path(name).name}`" for name in wanted.values()]
        return (
            f"is not on this machine and could not be downloaded ({reason}){nor}; run "
            f"{' and '.join(fetch)} where there is a network, and name what that makes with "
            f"{' and '.join(wanted)}"
        )

    @cached_property
    def _detector(self) -> "Loaded":
        from transformers import AutoModelForObjectDetection

        return self._load(AutoModelForObjectDetection.from_pretrained, "--detector")

    @cached_property
    def _pose(self) -> "Loaded":
        from transformers import VitPoseForPoseEstimation

        return self._load(VitPoseForPoseEstimation.from_pretrained, "--pose-estimator")

    @cached_property
    def _segmenter(self) -> "Loaded":
        from transformers import AutoModelForUniversalSegmentation

        return self._load(AutoModelForUniversalSegmentation.from_pretrained, "--segmenter")

    @torch.no_grad()
    def _people(self, photo: Image.Image, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes (N, 4) and scores (N,) of people that score above `threshold`."""
        processor, model = self._detector
        inputs = processor(images=photo, return_tensors="pt").to(self.device)
        found = processor.post_process_object_detection(
            model(**inputs), threshold=threshold, target_sizes=[photo.size[::-1]]
        )[0]
        people = [_is_person(model, int(label)) for label in found["labels"]]
        return found["boxes"].cpu()[people], found["scores"].cpu()[people]

    def boxes(self, photo: Image.Image) -> list[tuple[Box, float]]:
        """The people in a photo as (box in pixels, score), the largest first."""
        from torchvision.ops import nms

        boxes, scores = self._people(photo, self.person_score)
        boxes = boxes.clamp(min=0).minimum(torch.tensor([*photo.size, *photo.size]))
        # RT-DETR should not need suppression, yet it sometimes finds two boxes for one person.
        kept = nms(boxes, scores, 0.7)
        found = [(tuple(boxes[i].tolist()), float(scores[i])) for i in kept]
        return sorted(found, key=lambda item: -_area(item[0]))

    def nobody(self, photo: Image.Image, name: str) -> PhotoError:
        """The error, which begins with `name`, that says how near a person was to being found."""
        _, scores = self._people(photo, 0.0)
        best = f"the best score is {scores.max():.2f}" if len(scores) else "nothing looks like one"
        return PhotoError(
            f"{name}: no person found: {best}, and {self.person_score:.2f} or more is wanted; "
            "a larger or clearer picture may help, or a lower --person-score"
        )

    @torch.no_grad()
    def keypoints(self, photo: Image.Image, box: Box) -> np.ndarray:
        """Joints (18, 2) of the person in `box`, in pixels of the photo, -1 missing."""
        processor, model = self._pose
        left, top, right, bottom = box
        boxes = [[[left, top, right - left, bottom - top]]]
        inputs = processor(images=photo, boxes=boxes, return_tensors="pt").to(self.device)
        if model.config.backbone_config.num_experts > 1:  # ViTPose+: the expert for COCO
            inputs["dataset_index"] = torch.zeros(1, dtype=torch.long, device=self.device)
        outputs = model(**inputs)
        pose = processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]
        points, scores = pose["keypoints"].double().numpy(), pose["scores"].double().numpy()
        if len(points) != 17:
            raise PhotoError(
                f"{self.names['--pose-estimator']}: finds {len(points)} joints, not COCO's 17"
            )
        return to_our_joints(points, np.minimum(scores, 1))

    @torch.no_grad()
    def cut_out(self, photo: Image.Image, box: Box, name: str = "the photo") -> Image.Image:
        """The photo with everything white but the person in `box`; `name` is for the message.

        Raises PhotoError if no person's outline fits the box.
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
            raise PhotoError(f"{name}: no outline of the person was found; keep the background")
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

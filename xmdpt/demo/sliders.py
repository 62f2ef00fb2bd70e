"""Sliders for a notebook (ipywidgets): a person, a pose, its joints, the guidance and the seed."""

import io
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image

from xmdpt.data.keypoints import JOINTS, draw_skeleton
from xmdpt.photos.framing import drop_outside, unsquash
from xmdpt.pipeline import XMDPTPipeline

SHOWN_HEIGHT = 384


def _png(picture: np.ndarray | Image.Image) -> bytes:
    """A square picture, stretched back to DeepFashion's aspect and enlarged."""
    image = unsquash(Image.fromarray(np.asarray(picture)))
    width = round(SHOWN_HEIGHT * image.width / image.height)
    buffer = io.BytesIO()
    image.resize((width, SHOWN_HEIGHT), Image.Resampling.BICUBIC).save(buffer, "png")
    return buffer.getvalue()


def _numbered(word: str, count: int) -> list[tuple[str, int]]:
    return [(f"{word} {number + 1}", number) for number in range(count)]


class Sliders(widgets.VBox):
    """Three pictures (source, skeleton, drawn) above the controls that change them.

    Args:
        pipe: the pipeline that draws.
        portraits: source pictures to choose from, uint8 (size, size, 3).
        poses: poses to start from, (18, 2) in pixels of the square picture, -1 missing; joints
            outside the picture are left out.
        num_inference_steps: denoising steps of a picture.
    """

    def __init__(
        self,
        pipe: XMDPTPipeline,
        portraits: Sequence[np.ndarray],
        poses: Sequence[np.ndarray],
        num_inference_steps: int = 50,
    ) -> None:
        self.pipe, self.portraits = pipe, portraits
        self.poses = [drop_outside(pose, (pipe.size, pipe.size)) for pose in poses]
        self.num_inference_steps = num_inference_steps
        self.keypoints = self.poses[0].copy()
        self._moving = False  # whether the sliders are being set by code, not dragged
        self._make_controls()
        self._connect()
        blank = _png(np.full((pipe.size, pipe.size, 3), 255, np.uint8))
        self.views = [widgets.Image(value=blank, format="png") for _ in range(3)]
        choices = [self.person, self.pose, self.guidance, self.seed, self.button, self.note]
        joint = [self.joint, self.there, self.x, self.y]
        super().__init__(
            [widgets.HBox(self.views), widgets.HBox([widgets.VBox(choices), widgets.VBox(joint)])]
        )
        self._take_pose()
        self.draw()

    def _make_controls(self) -> None:
        last = self.pipe.size - 1
        people, poses = _numbered("person", len(self.portraits)), _numbered("pose", len(self.poses))
        names = [(name.replace("_", " "), number) for number, name in enumerate(JOINTS)]
        self.person = widgets.Dropdown(options=people, description="who")
        self.pose = widgets.Dropdown(options=poses, description="pose")
        self.guidance = widgets.FloatSlider(2.0, min=1, max=5, step=0.25, description="guidance")
        self.seed = widgets.IntSlider(0, max=500, description="seed")
        self.button = widgets.Button(description="draw", button_style="primary")
        self.note = widgets.Label()
        self.joint = widgets.Dropdown(options=names, description="joint")
        self.there = widgets.Checkbox(True, description="there")
        self.x = widgets.IntSlider(max=last, description="x")
        self.y = widgets.IntSlider(max=last, description="y")

    def _connect(self) -> None:
        self.person.observe(lambda _: self._show_inputs(), "value")
        self.pose.observe(lambda _: self._take_pose(), "value")
        self.joint.observe(lambda _: self._show_joint(), "value")
        for control in (self.x, self.y, self.there):
            control.observe(lambda _: self._move_joint(), "value")
        self.button.on_click(lambda _: self.draw())

    def _show_inputs(self) -> None:
        size = (self.pipe.size, self.pipe.size)
        self.views[0].value = _png(self.portraits[self.person.value])
        self.views[1].value = _png(draw_skeleton(self.keypoints, size))

    def _show_joint(self) -> None:
        """Set the sliders to the chosen joint."""
        self._moving = True
        point = self.keypoints[self.joint.value]
        self.there.value = bool((point != -1).all())
        if self.there.value:
            self.x.value, self.y.value = point.round().astype(int).tolist()
        self._moving = False
        self._show_inputs()

    def _take_pose(self) -> None:
        self.keypoints[:] = self.poses[self.pose.value]
        self._show_joint()

    def _move_joint(self) -> None:
        if not self._moving:
            place = (self.x.value, self.y.value) if self.there.value else (-1, -1)
            self.keypoints[self.joint.value] = place
            self._show_inputs()

    def draw(self) -> None:
        """Draw with the current settings; if they are not a pose, a line says why."""
        self.button.description, self.button.disabled = "drawing ...", True
        try:
            drawn: Any = self.pipe(
                self.portraits[self.person.value],
                self.keypoints,
                num_inference_steps=self.num_inference_steps,
                guidance_scale=self.guidance.value,
                generator=torch.Generator().manual_seed(self.seed.value),
            )
            self.views[2].value = _png(drawn.images[0])
            self.note.value = ""
        except ValueError as error:
            self.note.value = str(error)
        finally:
            self.button.description, self.button.disabled = "draw", False

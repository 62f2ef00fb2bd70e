"""`generate`: the person of one file in the pose of another, for several seeds, and the best one.

`xmdpt generate` and the page of `xmdpt demo` call it; docs/use/photos.md explains the steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xmdpt.config import ConfigError
from xmdpt.data.keypoints import draw_skeleton, joint_names, missing
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.photos.framing import CANVAS, drop_outside, squash, unsquash
from xmdpt.photos.inputs import Source
from xmdpt.photos.joints import check_keypoints
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.retarget import rescale_pose
from xmdpt.photos.sheets import Cell, grid
from xmdpt.photos.sources import check_source
from xmdpt.photos.subjects import (
    Framed,
    Subject,
    read_keypoints_subject,
    read_photo_subject,
    report_missing,
    squash_points,
)
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import Preset, PresetError
from xmdpt.support.pictures import to_signed
from xmdpt.weights.load import load_pipeline

Ranking = Literal["tokens", "st_lpips"]
"""Closeness to the source: cosine similarity of class tokens, or minus the ST-LPIPS distance."""

BATCH = 8


@dataclass(frozen=True)
class Prepared:
    """A framed source and pose, for a model of any size.

    picture: RGB of DeepFashion's aspect. keypoints: (18, 2) in pixels of CANVAS, -1 missing.
    more: other pictures of the same person.
    """

    picture: Image.Image
    keypoints: np.ndarray
    more: tuple[Image.Image, ...] = ()

    def source_at(self, size: int) -> np.ndarray:
        """uint8 (size, size, 3)."""
        return squash(self.picture, size)

    def views_at(self, size: int) -> Source:
        """The source, or with more pictures of the person all of them, uint8 (size, size, 3)."""
        if not self.more:
            return self.source_at(size)
        return tuple(squash(picture, size) for picture in (self.picture, *self.more))

    def keypoints_at(self, size: int) -> np.ndarray:
        """(18, 2) in pixels of the square picture."""
        return squash_points(self.keypoints, size)

    def skeleton_at(self, size: int) -> np.ndarray:
        """uint8 (size, size, 3), drawn as for training."""
        return draw_skeleton(self.keypoints_at(size), (size, size))


@dataclass(frozen=True)
class Drawn:
    """Pictures in DeepFashion's aspect, one per seed; `best` is the index of the best.

    scores: closeness to the source, higher is closer; source and skeleton: what the model saw.
    """

    pictures: list[Image.Image]
    seeds: list[int]
    scores: list[float]
    best: int
    source: Image.Image
    skeleton: Image.Image


def generate(
    source: Subject,
    pose: Subject,
    *,
    weights: str | Path | None = None,
    seeds: Sequence[int] = (0,),
    ranking: Ranking = "tokens",
    rescale: bool = False,
    remove_background: bool = False,
    preset: Preset | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float = 2.0,
    device: str | torch.device | None = None,
    finder: PeopleFinder | None = None,
    say: Callable[[str], None] = print,
    any_source: bool = False,
    more: Sequence[Subject] = (),
) -> Drawn:
    """Draw the person of `source` in the pose of `pose`: `load_pipeline`, `prepare`, `draw`.

    `more` are other photos of the same person, whose looks are averaged.
    `preset` is by default the fastest that draws as well as `exact` (`XMDPTPipeline.best_preset`).
    Raises PhotoError, in one line, for whatever cannot be used.
    """
    finder = finder or PeopleFinder()
    pipe = load_pipeline(weights, device)  # first, so that a wrong name fails before detection
    prepared = prepare(source, pose, finder, rescale, remove_background, say, any_source, more)
    return draw(pipe, prepared, seeds, ranking, preset, num_inference_steps, guidance_scale)


def prepare(
    source: Subject,
    pose: Subject,
    finder: PeopleFinder,
    rescale: bool = False,
    remove_background: bool = False,
    say: Callable[[str], None] = print,
    any_source: bool = False,
    more: Sequence[Subject] = (),
) -> Prepared:
    """Read and frame both; `say` is told which joints of the pose are missing.

    With `rescale` the pose takes the source's limb lengths (`rescale_pose`), and with `any_source`
    a source may be of one colour, or a skeleton. `more` are other photos of the same person. Raises
    PhotoError.
    """
    person = read_source(source, finder, rescale, remove_background, any_source)
    others = [read_source(one, finder, False, remove_background, any_source) for one in more]
    target = read_pose(pose, finder)
    for framed in (person, *others, target):
        for remark in framed.remarks:
            say(f"note: {remark}")
    assert target.keypoints is not None, "they were asked for"
    report_missing(target.keypoints, str(pose.path), say)
    return combine(person, target, pose, rescale, others, say)


def read_source(
    source: Subject,
    finder: PeopleFinder,
    want_keypoints: bool,
    remove_background: bool,
    any_source: bool = False,
) -> Framed:
    """Read and frame the person to draw; PhotoError where it is no photo of one."""
    if not source.is_photo:
        raise PhotoError(f"{source.path}: the source must be a photo, not key points")
    person = read_photo_subject(source, finder, want_keypoints, remove_background)
    assert person.picture is not None, "it is a photo"
    if not any_source:
        check_source(squash(person.picture, 128), source.path)
    return person


def read_pose(pose: Subject, finder: PeopleFinder) -> Framed:
    """Read and frame the pose, of a photo or of key points; raises PhotoError."""
    if pose.is_photo:
        return read_photo_subject(pose, finder, True)
    return read_keypoints_subject(pose)


def combine(
    person: Framed,
    target: Framed,
    pose: Subject,
    rescale: bool,
    others: Sequence[Framed] = (),
    say: Callable[[str], None] = print,
) -> Prepared:
    """Set what `read_source` and `read_pose` have read beside each other; raises PhotoError.

    `others` are read from more photos of the same person. `say` is told which joints leave the
    picture in the source's proportions.
    """
    points = target.keypoints
    assert person.picture is not None and points is not None, "both were asked for"
    if rescale:
        assert person.keypoints is not None, "they were asked for"
        try:
            fitted = drop_outside(rescale_pose(points, person.keypoints), CANVAS)
        except ValueError as error:
            raise PhotoError(f"{pose.path}: {error}") from None
        lost = missing(fitted) & ~missing(points)
        if lost.any():
            names = joint_names(lost)
            say(f"{pose.path}: outside the picture in the source's proportions: {names}")
        points = check_keypoints(fitted, pose.path)
    more = tuple(other.picture for other in others if other.picture is not None)
    return Prepared(person.picture, points, more)


def draw(
    pipe: XMDPTPipeline,
    prepared: Prepared,
    seeds: Sequence[int] = (0,),
    ranking: Ranking = "tokens",
    preset: Preset | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float = 2.0,
    progress: Callable[[int], None] | None = None,
) -> Drawn:
    """Draw one picture per seed; a seed gives the same picture whatever the others are.

    `progress` is called after every denoising step with the number of steps done so far. Raises
    PhotoError if the weights of the token encoders are missing.
    """
    items = [(prepared, seed) for seed in seeds]
    made = sample(pipe, items, preset, num_inference_steps, guidance_scale, progress)
    source = prepared.source_at(pipe.size)
    scores = closeness(pipe, source, made, ranking)
    return Drawn(
        pictures=[unsquash(Image.fromarray(picture)) for picture in made],
        seeds=list(seeds),
        scores=scores,
        best=int(np.argmax(scores)),
        source=unsquash(Image.fromarray(source)),
        skeleton=unsquash(Image.fromarray(prepared.skeleton_at(pipe.size))),
    )


def sample(
    pipe: XMDPTPipeline,
    items: Sequence[tuple[Prepared, int]],
    preset: Preset | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float = 2.0,
    progress: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """uint8 (size, size, 3) for each person in a pose, and seed; see `draw`."""
    made: list[np.ndarray] = []
    done = 0

    def step(
        _pipe: XMDPTPipeline, _index: int, _t: object, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done)
        return tensors

    for start in range(0, len(items), BATCH):
        chunk = items[start : start + BATCH]
        sources = [prepared.views_at(pipe.size) for prepared, _ in chunk]
        same = all(prepared.picture is chunk[0][0].picture for prepared, _ in chunk)
        try:
            images = pipe(
                sources[:1] if same else sources,  # one is encoded once
                [prepared.keypoints_at(pipe.size) for prepared, _ in chunk],
                preset=preset or pipe.best_preset,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                generator=[torch.Generator().manual_seed(seed) for _, seed in chunk],
                callback_on_step_end=step,
                any_source=True,  # `prepare` has looked
            )[0]
        except (ConfigError, PresetError) as error:  # the first: a token encoder is missing
            raise PhotoError(str(error)) from None
        made += [np.array(image) for image in images]
    return made


@cache
def _st_lpips() -> STLPIPS:
    """The network, which an album asks for picture by picture."""
    return STLPIPS()


@torch.no_grad()
def closeness(
    pipe: XMDPTPipeline, source: np.ndarray, pictures: Sequence[np.ndarray], ranking: Ranking
) -> list[float]:
    """How close pictures are to the source by `ranking`; all are uint8 (size, size, 3)."""
    if len(pictures) > BATCH:
        parts = [pictures[at : at + BATCH] for at in range(0, len(pictures), BATCH)]
        return [score for part in parts for score in closeness(pipe, source, part, ranking)]
    device = pipe._execution_device  # of an offloaded pipeline, not where it waits
    reference = to_signed(source[None]).to(device)
    candidates = to_signed(np.stack(pictures)).to(device)
    if ranking == "st_lpips":
        network = _st_lpips().to(device)
        close: list[float] = (-network(reference.expand_as(candidates), candidates)).tolist()
        return close
    ours, theirs = (pipe.encode_tokens("photo", x)[:, 0] for x in (candidates, reference))
    similar: list[float] = torch.nn.functional.cosine_similarity(ours, theirs).tolist()
    return similar


def contact_sheet(drawn: Drawn, columns: int = 6) -> Image.Image:
    """Source, skeleton and all pictures, best first, each above its seed and score."""
    order = sorted(range(len(drawn.seeds)), key=lambda index: -drawn.scores[index])
    cells = [Cell(drawn.source, "source"), Cell(drawn.skeleton, "pose")]
    for i in order:
        cells.append(Cell(drawn.pictures[i], f"seed {drawn.seeds[i]}: {drawn.scores[i]:.3f}"))
    return grid([cells[at : at + columns] for at in range(0, len(cells), columns)])

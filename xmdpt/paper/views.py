"""Figures 2, 11 and 12: one pose, drawn from several views of a person and from someone else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from xmdpt.config import Config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import item
from xmdpt.metrics.perceptual import STLPIPS
from xmdpt.paper.drawing import draw_cases
from xmdpt.paper.figures import picture_grid
from xmdpt.paper.people import spread_of
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.pictures import to_signed

Pictures = list[np.ndarray]
"""uint8 (S, S, 3) each."""


@dataclass(frozen=True)
class Views:
    """One pose, drawn with the same noise from every view of a person and from someone else.

    `drawn` has a picture for each of `sources`. `other_source` and `other_drawn` are the control:
    one picture each, or none if there is nobody else.
    """

    person: str
    sources: Pictures
    drawn: Pictures
    other_source: Pictures
    other_drawn: Pictures
    pose: np.ndarray
    truth: np.ndarray

    def distances(self) -> dict[str, str | float]:
        """Mean ST-LPIPS between the sources, between the drawn pictures, and from those to the
        control; nan if there is no pair."""
        others = float("nan")
        if self.other_drawn:
            drawn, other = (to_signed(np.stack(p)) for p in (self.drawn, self.other_drawn))
            others = float(STLPIPS()(drawn, other.expand_as(drawn)).mean())
        return {
            "person": self.person,
            "sources": spread_of(self.sources),
            "drawn": spread_of(self.drawn),
            "others": others,
        }


def draw_views(
    pipeline: XMDPTPipeline,
    data: DeepFashion,
    config: Config,
    people: Sequence[Sequence[str]],
    place: int,
) -> Views:
    """Draw the pose of the last picture of `people[place]` from their other pictures.

    The control is the first picture of the next person in `people` with another name.
    """
    *names, target = people[place]
    around = [*people[place + 1 :], *people[:place]]
    others = [own[0] for own in around if item(own[0]) != item(target)][:1]
    sources, pose = [data.picture(name) for name in [*names, *others]], data.skeleton(target)
    cases = [(source, pose) for source in sources]
    drawn = list(draw_cases(pipeline, cases, config, [("views", place)] * len(cases)))
    own = len(names)
    return Views(
        person=item(target),
        sources=sources[:own],
        drawn=drawn[:own],
        other_source=sources[own:],
        other_drawn=drawn[own:],
        pose=pose,
        truth=data.picture(target),
    )


def views_figure(people: Sequence[Views]) -> Figure:
    """Each person's views above the pictures drawn from them; pose and truth on the right."""
    most = max(len(one.sources) for one in people)
    rows: dict[str, list[np.ndarray | None]] = {}
    for number, one in enumerate(people, start=1):
        gap: list[np.ndarray | None] = [None] * (most - len(one.sources))
        source: Sequence[np.ndarray | None] = one.other_source or [None]
        drawn: Sequence[np.ndarray | None] = one.other_drawn or [None]
        rows[f"person {number}: sources"] = [*one.sources, *gap, *source, one.pose]
        rows[f"person {number}: drawn"] = [*one.drawn, *gap, *drawn, one.truth]
    columns = [*(f"view {n + 1}" for n in range(most)), "someone else", "pose, truth"]
    return picture_grid(rows, "one pose from several views of a person", columns)


def distance_table(people: Sequence[Views]) -> pd.DataFrame:
    """The distances of each person, a row each."""
    return pd.DataFrame([one.distances() for one in people])

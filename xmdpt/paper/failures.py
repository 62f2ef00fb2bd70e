"""Why a pair scored badly: the reasons of the paper's Figure 14, found from the inputs alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.keypoints import annotation_to_pixels
from xmdpt.data.pairs import spread
from xmdpt.metrics.images import silhouette
from xmdpt.paper.people import by_mangled

MISSING = 6  # of 18 joints: a view from the side hides the far half of the face, no more
OFF = 0.25  # share of joints that lie outside the person
CLOTHES = 0.55  # shared part of the colours of two pictures of one outfit: seldom less
NOSE = 0


@dataclass(frozen=True)
class Diagnosis:
    """What is unusual about a pair; `reasons` is empty where its inputs look sound."""

    missing_joints: int
    joints_off: float
    """Share of the target's joints that lie off the target's person."""
    shared_colours: float
    """Intersection of the colour histograms of the two people, 1 for the same colours."""
    face_unseen: bool
    """Whether the target shows a face that the source does not."""

    @property
    def reasons(self) -> list[str]:
        found = []
        if self.shared_colours < CLOTHES:
            found.append("clothes changed, or hidden in the source")
        if self.missing_joints >= MISSING:
            found.append(f"{self.missing_joints} joints missing")
        if self.joints_off > OFF:
            found.append(f"{self.joints_off:.0%} of the key points off the body")
        if self.face_unseen:
            found.append("face not seen in the source")
        return found


def shared_colours(first: np.ndarray, second: np.ndarray, bins: int = 6) -> float:
    """Intersection of the colour histograms of the people in two uint8 (H, W, 3) pictures."""
    histograms = []
    for picture in (first, second):
        person = picture[silhouette(picture)]
        counts, _ = np.histogramdd(person, bins=(bins,) * 3, range=((0, 256),) * 3)
        histograms.append(counts / max(counts.sum(), 1))
    return float(np.minimum(*histograms).sum())


def joints_off(picture: np.ndarray, joints: np.ndarray) -> float:
    """Share of the joints (18, 2) in pixels, -1 missing, off the person of a (H, W, 3) picture.

    A joint counts as on the person within a thirtieth of the picture.
    """
    person, reach = silhouette(picture), max(picture.shape[0] // 30, 1)
    seen = joints[(joints != -1).all(axis=1)].round().astype(int)
    if not len(seen):
        return 0.0
    off = [not person[_around(y, reach), _around(x, reach)].any() for x, y in seen]
    return float(np.mean(off))


def _around(centre: int, reach: int) -> slice:
    """What lies within `reach` of a centre that may itself lie outside, before 0 too."""
    return slice(max(centre - reach, 0), max(centre + reach + 1, 0))


def diagnose(data: DeepFashion, source: str, target: str) -> Diagnosis:
    """Look at the pictures and key points of a pair for what makes it hard."""
    pictures = [data.picture(name) for name in (source, target)]
    of_source, of_target = data.keypoints(source), data.keypoints(target)
    seen = (of_target != -1).all(axis=1)
    joints = annotation_to_pixels(of_target, pictures[1].shape[:2])
    return Diagnosis(
        missing_joints=int((~seen).sum()),
        joints_off=joints_off(pictures[1], joints),
        shared_colours=shared_colours(*pictures),
        face_unseen=bool(seen[NOSE] and (of_source[NOSE] == -1).any()),
    )


def worst_pairs(
    scored: pd.DataFrame, pairs: Sequence[tuple[str, str]], metric: str, count: int
) -> dict[tuple[str, str], float]:
    """The (source, target) names with the largest distance `metric`, worst first."""
    names = by_mangled(pairs)
    worst = scored[metric].dropna().nlargest(count)
    return {names[key]: float(value) for key, value in worst.items()}


def reason_table(
    data: DeepFashion, scored: pd.DataFrame, metric: str, limit: int = 1000
) -> pd.DataFrame:
    """How often each cause is met among the worst tenth of the pairs and among all of them.

    Of more than `limit` pairs, that many are looked at, spread evenly.
    """
    names = by_mangled(data.pairs("test"))
    ranked = scored[metric].dropna().sort_values(ascending=False)
    looked = spread([names[key] for key in ranked.index], limit)
    found = [diagnose(data, *pair) for pair in looked]
    tenth = found[: max(len(found) // 10, 1)]
    causes = {
        "clothes changed or hidden": lambda one: one.shared_colours < CLOTHES,
        f"{MISSING} or more joints missing": lambda one: one.missing_joints >= MISSING,
        f"more than {OFF:.0%} of joints off the body": lambda one: one.joints_off > OFF,
        "face not seen in the source": lambda one: one.face_unseen,
        "none: inputs look sound": lambda one: not one.reasons,
    }
    share = {
        cause: [f"{np.mean([met(one) for one in some]):.0%}" for some in (tenth, found)]
        for cause, met in causes.items()
    }
    columns = [f"of the worst tenth ({len(tenth)} seen)", f"of all ({len(found)} seen)"]
    frame = pd.DataFrame.from_dict(share, orient="index", columns=columns)
    return frame.reset_index(names="likely cause")

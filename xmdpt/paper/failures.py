"""Why a pair scored badly: the causes shown in Figure 14, found from the inputs alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.keypoints import JOINTS, annotation_to_pixels, missing
from xmdpt.data.pairs import by_mangled, spread
from xmdpt.metrics.images import silhouette

MISSING = 6  # of 18 joints; a side view hides the far half of the face, and no more
OFF = 0.25  # share of the joints that are off the body
CLOTHES = 0.55  # two pictures of one outfit seldom share less of their colours
NOSE = JOINTS.index("nose")


@dataclass(frozen=True)
class Diagnosis:
    """What is unusual about a pair; `reasons` is empty if its inputs look sound."""

    missing_joints: int
    joints_off: float
    """Share of the target's joints that are off the body."""
    shared_colours: float
    """Intersection of the two people's colour histograms; 1 for the same colours."""
    face_unseen: bool
    """Whether the target shows a face that the source does not."""

    @property
    def reasons(self) -> list[str]:
        """What is unusual, in words."""
        return [text.format(self) for met, text in CAUSES.values() if met(self)]


CAUSES: dict[str, tuple[Callable[[Diagnosis], bool], str]] = {
    "clothes changed or hidden": (
        lambda one: one.shared_colours < CLOTHES, "clothes changed, or hidden in the source",
    ),
    f"{MISSING} or more joints missing": (
        lambda one: one.missing_joints >= MISSING, "{0.missing_joints} joints missing",
    ),
    f"more than {OFF:.0%} of joints off the body": (
        lambda one: one.joints_off > OFF, "{0.joints_off:.0%} of the key points off the body",
    ),
    "face not seen in the source": (lambda one: one.face_unseen, "face not seen in the source"),
}  # fmt: skip
"""Cause -> whether a pair has it, and the text for that pair."""


def shared_colours(first: np.ndarray, second: np.ndarray, bins: int = 6) -> float:
    """Intersection of the colour histograms of the people in two uint8 (H, W, 3) pictures."""
    histograms = []
    for picture in (first, second):
        person = picture[silhouette(picture)]
        counts, _ = np.histogramdd(person, bins=(bins,) * 3, range=((0, 256),) * 3)
        histograms.append(counts / max(counts.sum(), 1))
    return float(np.minimum(*histograms).sum())


def joints_off(picture: np.ndarray, joints: np.ndarray) -> float:
    """Share of the joints that are off the body in a (H, W, 3) picture.

    Joints (18, 2) are in pixels, -1 missing; up to a thirtieth of the picture away still counts as
    on the body.
    """
    person, reach = silhouette(picture), max(picture.shape[0] // 30, 1)
    seen = joints[~missing(joints)].round().astype(int)
    if not len(seen):
        return 0.0
    off = [not person[_around(y, reach), _around(x, reach)].any() for x, y in seen]
    return float(np.mean(off))


def _around(centre: int, reach: int) -> slice:
    """The pixels within `reach` of `centre`, which may be outside the picture."""
    return slice(max(centre - reach, 0), max(centre + reach + 1, 0))


def diagnose(data: DeepFashion, source: str, target: str) -> Diagnosis:
    """Look for what makes a pair hard, in its pictures and key points."""
    source_picture, target_picture = data.picture(source), data.picture(target)
    of_source, of_target = data.keypoints(source), data.keypoints(target)
    absent = missing(of_target)
    joints = annotation_to_pixels(of_target, target_picture.shape[:2])
    return Diagnosis(
        missing_joints=int(absent.sum()),
        joints_off=joints_off(target_picture, joints),
        shared_colours=shared_colours(source_picture, target_picture),
        face_unseen=bool(missing(of_source)[NOSE] and not absent[NOSE]),
    )


def worst_pairs(
    scored: pd.DataFrame, pairs: Sequence[tuple[str, str]], metric: str, count: int
) -> dict[tuple[str, str], float]:
    """The pairs with the largest distance `metric`, worst first."""
    names = by_mangled(pairs)
    worst = scored[metric].dropna().nlargest(count)
    return {names[key]: float(value) for key, value in zip(worst.index, worst, strict=True)}


def reason_table(
    data: DeepFashion, scored: pd.DataFrame, metric: str, limit: int = 1000
) -> pd.DataFrame:
    """How often each cause occurs among the worst tenth of the pairs and among all of them.

    At most `limit` pairs are looked at, evenly spread over the ranking.
    """
    names = by_mangled(data.pairs("test"))
    ranked = scored[metric].dropna().sort_values(ascending=False)
    looked = spread([names[key] for key in ranked.index], limit)
    found = [diagnose(data, *pair) for pair in looked]
    tenth = found[: max(len(found) // 10, 1)]
    causes = {cause: met for cause, (met, _) in CAUSES.items()}
    causes["none: inputs look sound"] = lambda one: not one.reasons
    share = {
        cause: [f"{np.mean([met(one) for one in some]):.0%}" for some in (tenth, found)]
        for cause, met in causes.items()
    }
    columns = [f"of the worst tenth ({len(tenth)} seen)", f"of all ({len(found)} seen)"]
    frame = pd.DataFrame.from_dict(share, orient="index", columns=columns)
    return frame.reset_index(names="likely cause")

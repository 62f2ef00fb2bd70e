"""Cameras: where points of the world are in a picture, and how a person is framed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from xmdpt.people.bodies import Direction
from xmdpt.people.views import Shot, View

ASPECT = 11 / 16
LEVEL = Shot()
ROOM = 1.15  # times as large as its height asks for is the frame of a part, at most, for its width


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; around `centre`, (x, y, z), its frame is `height` metres high.

    distance: metres from there; rise and roll: degrees by which it looks down, and is turned
    clockwise.
    """

    centre: Direction
    height: float
    distance: float = LEVEL.distance
    rise: float = 0.0
    roll: float = 0.0

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) unit vectors to the right of the frame, into it, and up."""
        a, b = np.deg2rad([self.rise, self.roll])
        right, ahead = np.array([1.0, 0, 0]), np.array([0, np.cos(a), -np.sin(a)])
        up = np.array([0, np.sin(a), np.cos(a)])
        turned = right * np.cos(b) - up * np.sin(b), ahead, up * np.cos(b) + right * np.sin(b)
        return np.stack(turned)

    @property
    def eye(self) -> np.ndarray:
        """(3,) where the camera is."""
        place: np.ndarray = np.array(self.centre) - self.axes[1] * self.distance
        return place

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) -> positions in the frame (N, 2), x and y from 0 to 1."""
        across, ahead, above = self.axes @ (points - self.eye).T
        scale = self.distance / ahead
        x = across * scale / (self.height * ASPECT) + 0.5
        return np.stack([x, 0.5 - above * scale / self.height], axis=1)

    def rays(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) directions through the middles of the pixels of a picture of `size`."""
        down, across = ((np.arange(side) + 0.5) / side - 0.5 for side in size)
        right, ahead, up = self.axes
        rows = ahead * self.distance - np.outer(down * self.height, up)
        directions: np.ndarray = rows[:, None] + np.outer(across * self.height * ASPECT, right)
        return directions


def frame(points: np.ndarray, look: View, cuts: Mapping[str, float]) -> Camera:
    """The camera that frames all `points` (N, 3), or those above the height that `cuts` names."""
    scale = LEVEL.distance / (LEVEL.distance + points[:, 1])
    low, high = points.min(axis=0), points.max(axis=0)
    whole = look.framing == "whole"
    bottom = low[2] if whole else cuts[look.framing]
    height = (high[2] - bottom) / (1 - look.top - (look.bottom if whole else 0))
    x = float((points[:, 0] * scale).min() + (points[:, 0] * scale).max()) / 2
    width = float(np.abs(points[:, 0] * scale - x).max()) * 2 / 0.95
    height = max(height, width / ASPECT) * 1.01
    z = high[2] + look.top * height - height / 2
    level = Camera((x, 0.0, float(z)), float(height))
    return level if look.shot == LEVEL else _moved(level, points[points[:, 2] >= bottom], look)


def _moved(level: Camera, points: np.ndarray, look: View) -> Camera:
    """The camera as the view's shot has it, aimed at `points` (N, 3).

    A whole person is in the frame with hands and feet; a part may lose an arm that is stretched
    out, as in photographs.
    """
    shot, whole = look.shot, look.framing == "whole"
    camera = replace(level, distance=shot.distance, rise=shot.rise, roll=shot.roll)
    bottom = look.bottom if whole else 0.0
    for _ in range(3):  # a camera that moves sees other outlines; each round is closer
        seen = camera.project(points)
        low, high = seen.min(axis=0), seen.max(axis=0)
        wide, tall = high - low
        size = tall / (1 - look.top - bottom)
        size = max(size, wide / 0.95 if whole else min(wide / 0.95, ROOM * size)) * shot.zoom
        above = (1 - tall / size) * look.top / (look.top + bottom) if whole else look.top
        slack = max((1 - wide / size) / 2, 0)
        middle = (low[0] + high[0]) / 2 if whole else np.median(seen[:, 0])
        aside = (middle - 0.5) / size - np.clip(shot.shift, -slack, slack)
        down = (low[1] - 0.5) / size + 0.5 - above
        height = camera.height * size
        right, _, up = camera.axes
        x, y, z = camera.centre + right * (aside * height * ASPECT) - up * (down * height)
        camera = replace(camera, centre=(float(x), float(y), float(z)), height=float(height))
    return camera

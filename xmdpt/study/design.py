"""What the study is to decide: claims.yaml, read and checked."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from xmdpt.config import ConfigError, Section
from xmdpt.settings_file import read_tree

Metric = Literal["fid", "lpips", "ssim"]
BASE = "base_b"
"""The row that the paper proposes, by which gains and the margin are measured."""
FOLLOW_UPS = "follow_ups"
"""The folder of the follow-ups' scores, beside that of the runs."""


class Claim(Section):
    """One comparison that the paper makes: `better` beats `worse`, or with `equal` is no different.

    `paper` has the printed values of `better` and `worse`; None where it prints none.
    """

    claim: str
    place: str
    better: str
    worse: str
    metric: Metric
    paper: tuple[float, float] | None = None
    equal: bool = False


class Trend(Section):
    """Three rows that compare the maskings of Table 2(a) somewhere else among possible designs."""

    title: str
    base_b: str
    mdt: str
    no_mask: str


class FollowUp(Section):
    """Further rows, of the first seed alone, that test why a verdict goes against the paper.

    They decide nothing. `showed` is what came of it; None before.
    """

    claims: list[str]
    reason: str
    rows: dict[str, str]
    showed: str | None = None


class Design(Section):
    """The rows, the claims, and how sure a verdict must be."""

    registered: str
    level: float = Field(gt=0, lt=1)
    """Chance of even one false alarm among all claims."""
    margin: float = Field(gt=0, lt=1)
    """Differences below this share of what base_b lacks to a perfect score do not matter."""
    seeds: list[int] = Field(min_length=2)
    """Of every row."""
    rows: dict[str, str]
    same_weights: list[str]
    """Rows that base_b's weights draw, in another way."""
    trends: dict[str, Trend]
    claims: dict[str, Claim]
    follow_ups: dict[str, FollowUp] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "Design":
        self._require("same_weights", *self.same_weights)
        for name, trend in self.trends.items():
            rows = (trend.base_b, trend.mdt, trend.no_mask)
            self._require(f"trends.{name}", *rows)
            if copies := {*rows} & {*self.same_weights}:
                raise ValueError(
                    f"trends.{name}: '{min(copies)}' is drawn by {BASE}'s weights; name a row that "
                    "is trained"
                )
        for name, claim in self.claims.items():
            self._require(f"claims.{name}", claim.better, claim.worse)
            if claim.better == claim.worse:
                raise ValueError(f"claims.{name}: compares '{claim.better}' with itself")
            sides, drawn = {claim.better, claim.worse}, {*self.same_weights}
            if sides & drawn and not sides <= {BASE, *drawn}:
                raise ValueError(
                    f"claims.{name}: '{min(sides & drawn)}' is drawn by {BASE}'s weights, so it "
                    f"compares with {BASE} and other such rows only"
                )
        for name, follow_up in self.follow_ups.items():
            for claimed in follow_up.claims:
                if claimed not in self.claims:
                    raise ValueError(f"follow_ups.{name}: '{claimed}' is not among the claims")
        return self

    def _require(self, place: str, *rows: str) -> None:
        for row in rows:
            if row not in self.rows:
                raise ValueError(f"{place}: '{row}' is not among the rows")


def load_design(path: str | Path = "claims.yaml") -> Design:
    """Read the design of the study; raises ConfigError, which names the file and the field."""
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; it comes with a clone of xmdpt")
    tree = read_tree(path)
    try:
        return Design.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {place}: {first['msg']}".replace(": : ", ": ")) from None

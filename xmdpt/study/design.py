"""What the study is to decide: claims.yaml, read and checked."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from xmdpt.config import ConfigError, Loader, Section

Metric = Literal["fid", "lpips", "ssim"]


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


class Design(Section):
    """The rows, the claims, and how sure a verdict must be."""

    registered: str
    level: float = Field(gt=0, lt=1)
    """Chance of even one false alarm among all claims."""
    margin: float = Field(gt=0, lt=1)
    """Differences below this share of what base_b lacks to a perfect score do not matter."""
    rows: dict[str, str]
    claims: dict[str, Claim]

    @model_validator(mode="after")
    def _check(self) -> "Design":
        for name, claim in self.claims.items():
            for row in (claim.better, claim.worse):
                if row not in self.rows:
                    raise ValueError(f"claims.{name}: '{row}' is not among the rows")
            if claim.better == claim.worse:
                raise ValueError(f"claims.{name}: compares '{claim.better}' with itself")
        return self


def load_design(path: str | Path = "claims.yaml") -> Design:
    """Read the design of the study; raises ConfigError, which names the file and the field."""
    path = Path(path)
    try:
        return Design.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; it comes with a clone of xmdpt") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {place}: {first['msg']}".replace(": : ", ": ")) from None

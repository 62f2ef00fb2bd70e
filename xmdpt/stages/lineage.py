"""What a stage was given and what it made, as W&B's artifacts: names and digests, no contents.

dvc.yaml says what goes in and comes out, dvc.lock which bytes these were. An artifact refers to
them by DVC's digest; `dvc checkout` or `dvc pull` brings the bytes.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xmdpt.config import Loader
from xmdpt.stages.kept import folder_digest, recorded

KINDS = {"data": "dataset", "models": "model"}
"""The top folders whose outputs become artifacts, and the artifacts' types."""
_BLANK = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class Piece:
    """A file or folder of the graph."""

    path: str
    digest: str

    @property
    def name(self) -> str:
        """What W&B calls it."""
        return self.path.replace("/", "-")

    @property
    def kind(self) -> str:
        """Its type in W&B."""
        return KINDS[self.path.partition("/")[0]]


@dataclass(frozen=True)
class Stage:
    """What dvc.yaml says of a stage, with its blanks filled in."""

    depends: list[str]
    makes: list[str]


def _paths(entries: Iterable[str | Mapping[str, Any]]) -> list[str]:
    """Paths that stand alone, or with options below them."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def own_stage(config: Mapping[str, Any]) -> Stage:
    """The stage that DVC is carrying out in this folder; outside DVC, one of nothing."""
    graph, name = Path("dvc.yaml"), os.environ.get("DVC_STAGE")
    return read_stage(name, config, graph) if name and graph.is_file() else Stage([], [])


def read_stage(name: str, config: Mapping[str, Any], graph: Path) -> Stage:
    """The stage that DVC calls `name`, as `train@base_b`, of a dvc.yaml."""

    def fill(match: re.Match[str]) -> str:
        if match[1].startswith("item."):
            return name.partition("@")[2]
        value: Any = config
        for key in match[1].split("."):
            value = value[key]
        return str(value)

    stages = yaml.load(graph.read_text(encoding="utf-8"), Loader)["stages"]
    about = stages[name.partition("@")[0]]
    found = [_BLANK.sub(fill, path) for path in _paths(about["deps"])]
    return Stage(found, [_BLANK.sub(fill, path) for path in _paths(about.get("outs", []))])


def inputs(stage: Stage) -> list[Piece]:
    """What other stages made of what this one depends on, as dvc.lock has it."""
    made = recorded(Path("dvc.lock"))
    given = {out for out in made for path in stage.depends if f"{path}/".startswith(f"{out}/")}
    return [Piece(out, made[out]["md5"]) for out in sorted(given) if _is_kept(out)]


def outputs(stage: Stage) -> list[Piece]:
    """What the stage has made so far."""
    there = [path for path in stage.makes if _is_kept(path) and Path(path).exists()]
    return [Piece(path, _digest(Path(path))) for path in there]


def _is_kept(path: str) -> bool:
    return path.partition("/")[0] in KINDS


def _digest(path: Path) -> str:
    """DVC's digest of a file or folder."""
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        return folder_digest(path, [file.relative_to(path).as_posix() for file in files])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def as_artifact(piece: Piece) -> Any:
    """The artifact that refers to a piece; equal pieces are one version of it."""
    import wandb

    about = {"path": piece.path, "md5": piece.digest}
    artifact = wandb.Artifact(piece.name, piece.kind, metadata=about)
    artifact.add_reference(f"dvc://{piece.digest}", name=piece.path, checksum=False)
    return artifact


def log_inputs(run: Any, stage: Stage) -> None:
    """Tell W&B what a run is given; offline it takes no inputs, and the configuration has them."""
    if not (found := inputs(stage)):
        return
    run.config.update({"inputs": {piece.path: piece.digest for piece in found}})
    for piece in [] if run.offline else found:
        run.use_artifact(as_artifact(piece))


def log_outputs(run: Any, stage: Stage) -> None:
    """Tell W&B what a run has made, each version also under the first twelve of its digest."""
    for piece in outputs(stage):
        run.log_artifact(as_artifact(piece), aliases=["latest", piece.digest[:12]])

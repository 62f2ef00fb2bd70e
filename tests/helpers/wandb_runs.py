"""Runs of W&B that were logged offline, read back with the package's own reader."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

QUIET = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


@dataclass
class OfflineRun:
    """What one folder `offline-run-*` holds."""

    about: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)

    def curve(self, key: str) -> dict[int, float]:
        """Step -> value."""
        return {row["_step"]: row[key] for row in self.history if key in row}


def folders(place: Path) -> list[Path]:
    return sorted((place / "wandb").glob("offline-run-*"))


def read_run(folder: Path) -> OfflineRun:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    environment = os.environ | QUIET
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    run = OfflineRun()
    for line in done.stdout.splitlines():
        record = json.loads(line)
        content = record.get(record["type"], {})
        if record["type"] == "run":
            run.about = content
            run.config |= content["config"]["update"]
        elif record["type"] == "config":
            run.config |= content.get("update", {})
        elif record["type"] == "summary":
            run.summary |= content.get("update", {})
        elif record["type"] == "history":
            run.history.append(content["item"])
        elif record["type"] == "artifact":
            run.artifacts.append(content)
        elif record["type"] == "files":
            run.files += [file["path"] for file in content["files"]]
    return run

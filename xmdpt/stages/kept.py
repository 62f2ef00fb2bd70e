"""Working folders of finished stages: kept until DVC has recorded the outputs, then deleted.

Between the end of a stage and DVC's note in dvc.lock lie minutes in which a full disk or a kill
loses the outputs: DVC deletes them and runs the stage again, which then finds its work here.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from xmdpt.config import Loader
from xmdpt.support.arguments import BadInput
from xmdpt.support.files import finished_work
from xmdpt.support.owner import sole_owner

PLACES = ("models", "data", "data/[!.]*")
"""Where the outputs of stages lie that take long; the settings say where in data/ people are."""
AHEAD = ".ahead"
"""In finished work whose stage has yet to take it over: dvc.lock may hold the same from before.
Hidden, so that the stage deletes it when it goes on from there."""


def keep_for_stage(output: Path) -> None:
    """Keep the finished work on `output` until its stage has taken it over."""
    for folder, made, _ in finished_work(output.parent):
        if made == output:
            (folder / AHEAD).touch()


def recorded(lock: Path) -> dict[str, dict[str, Any]]:
    """DVC's records of folders, by path; empty where there are none."""
    try:
        stages = yaml.load(lock.read_text(encoding="utf-8"), Loader)["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return {out["path"]: out for stage in stages.values() for out in stage.get("outs", [])}


def folder_digest(folder: Path, names: list[str]) -> str:
    """The digest that DVC gives a folder of these files."""
    entries = []
    for name in sorted(names):
        with open(folder / name, "rb") as file:
            entries.append({"md5": hashlib.file_digest(file, "md5").hexdigest(), "relpath": name})
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def _is_recorded(folder: Path, names: list[str], out: dict[str, Any]) -> bool:
    """Whether a record is of these very files; their sizes are looked at before their bytes."""
    paths = [folder / name for name in names]
    if len(names) != out.get("nfiles") or not all(path.is_file() for path in paths):
        return False
    if sum(path.stat().st_size for path in paths) != out.get("size"):
        return False
    return folder_digest(folder, names) == out.get("md5")


def drop_recorded(root: Path) -> None:
    """Delete the working folders below `root` whose outputs dvc.lock has on record.

    Not where the output is gone, as DVC deletes it before it carries a stage out again: then the
    record may be that of an earlier time, and the stage goes on from the folder.
    """
    places = [folder for place in PLACES for folder in sorted(root.glob(place))]
    finished = [work for folder in places for work in finished_work(folder)]
    records = recorded(root / "dvc.lock") if finished else {}
    for folder, output, names in finished:
        out = records.get(output.relative_to(root).as_posix())
        if out is None or not output.exists() or (folder / AHEAD).exists():
            continue
        try:
            with sole_owner(output):
                if _is_recorded(folder, names, out):
                    shutil.rmtree(folder)
        except BadInput:  # another process is at work on it
            continue

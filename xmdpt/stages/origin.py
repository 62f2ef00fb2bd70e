"""What the numbers of a finished run come from, as its page and its W&B report say it."""

from collections.abc import Sequence
from pathlib import Path

from xmdpt.stages.tracking import RECORDED
from xmdpt.support.files import file_digest, read_json
from xmdpt.support.git import commit_of


def provenance(root: Path, files: Sequence[str] = RECORDED) -> dict[str, str]:
    """The commit of the code here, digests of `files` below `root`, and the machine."""
    found = {"commit": commit_of()}
    found |= {
        f"`{name}` (SHA-256)": file_digest(root / name) for name in files if (root / name).is_file()
    }
    costs = root / "reports/costs.json"
    if costs.is_file():
        machine = read_json(costs, "run the stage `costs` again")["machine"]
        words = ", ".join(f"{name} {value}" for name, value in machine.items())
        found["machine of the stage `costs`"] = words
    return found

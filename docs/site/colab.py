"""The first walkthrough for Colab: the same cells, behind one that installs xmdpt.

    python docs/site/colab.py

writes notebooks/colab/00_task_and_data.ipynb. A test says when it has to be written again.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WALKTHROUGH = ROOT / "notebooks/walkthrough/00_task_and_data.ipynb"
FOR_COLAB = ROOT / "notebooks/colab/00_task_and_data.ipynb"
UNKNOWN = "https://HOST/OWNER/xmdpt"
ABOUT = """## On Colab

The next cell installs xmdpt from its repository, with the small weights, which takes minutes; no
GPU is needed. The rest is `{name}`."""
INSTALL = """REPOSITORY = "{address}"{remark}
assert "OWNER" not in REPOSITORY, "write the address of the repository that this is from"
%pip install --quiet "xmdpt @ git+{{REPOSITORY}}\""""


def address() -> str | None:
    """The repository's address in pyproject.toml, once it has one: project.urls.Repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: str | None = project.get("urls", {}).get("Repository")
    return found


def _cell(kind: str, name: str, text: str) -> dict[str, Any]:
    cell = {"cell_type": kind, "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else cell | {"execution_count": None, "outputs": []}


def notebook(repository: str | None) -> str:
    """The walkthrough behind the cell that installs xmdpt from `repository`; None: to be said."""
    made: dict[str, Any] = json.loads(WALKTHROUGH.read_text(encoding="utf-8"))
    remark = "" if repository else "  # where this notebook is from"
    install = INSTALL.format(address=repository or UNKNOWN, remark=remark)
    about = ABOUT.format(name=WALKTHROUGH.relative_to(ROOT))
    made["cells"][1:1] = [_cell("markdown", "colab", about), _cell("code", "install", install)]
    return json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    FOR_COLAB.parent.mkdir(exist_ok=True)
    FOR_COLAB.write_text(notebook(address()), encoding="utf-8")
    print(f"wrote {FOR_COLAB.relative_to(ROOT)}")

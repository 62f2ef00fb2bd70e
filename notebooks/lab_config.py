"""JupyterLab's settings, which `make lab` names.

Lab writes metadata into a notebook as soon as it is opened, and DVC runs a stage anew whose
notebook changed. So stages' notebooks are saved as clean sources: what nobody typed is left out.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clean import make_clean

STAGES = ("notebooks/pipeline/", "notebooks/paper/")


def clean_stage(model: dict, path: str, **_: object) -> None:
    """Make a stage's notebook clean before Lab saves it."""
    if model["type"] == "notebook" and path.startswith(STAGES):
        make_clean(model["content"])


c.FileContentsManager.pre_save_hook = clean_stage  # noqa: F821 - Jupyter defines c

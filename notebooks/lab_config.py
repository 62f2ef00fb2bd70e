"""JupyterLab's settings, which `make lab` names.

Lab writes metadata into a notebook as soon as it is opened, and DVC runs a stage anew whose
notebook changed. So stages' notebooks are saved as clean sources: what nobody typed is left out.
Kernels start in the repository's folder, as with `xmdpt run`, so that paths mean the same in both.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clean import make_clean
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

STAGES = ("notebooks/pipeline/", "notebooks/paper/")


def clean_stage(model: dict, path: str, **_: object) -> None:
    """Make a stage's notebook clean before Lab saves it."""
    if model["type"] == "notebook" and path.startswith(STAGES):
        make_clean(model["content"])


class AtTheRoot(AsyncLargeFileManager):
    """Jupyter's own files, but kernels start at the root, not in the notebook's folder."""

    async def get_kernel_path(self, path: str, model: dict | None = None) -> str:
        return ""


c.FileContentsManager.pre_save_hook = clean_stage  # noqa: F821 - Jupyter defines c
c.ServerApp.contents_manager_class = AtTheRoot  # noqa: F821

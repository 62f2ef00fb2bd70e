"""JupyterLab's settings, which `make lab` names.

Lab writes metadata into a notebook as soon as it is opened, and DVC runs a stage anew whose
notebook changed. So stages' notebooks are saved as clean sources: what nobody typed is left out.
"""

STAGES = ("notebooks/pipeline/", "notebooks/paper/")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def clean(model: dict, path: str, **_: object) -> None:
    """Take outputs, counts and metadata, but for tags, out of a stage's notebook."""
    if model["type"] != "notebook" or not path.startswith(STAGES):
        return
    notebook = model["content"]
    notebook["metadata"] = {"kernelspec": KERNEL}
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


c.FileContentsManager.pre_save_hook = clean  # noqa: F821 - Jupyter defines c

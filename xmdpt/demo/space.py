"""A folder that is a Space, a page on a machine of Hugging Face's: `xmdpt export --space`."""

import ast
import json
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version
from pathlib import Path

from PIL import Image

from xmdpt.config import SampleConfig
from xmdpt.demo import space_app
from xmdpt.demo.poses import stored_poses
from xmdpt.people.dataset import identity, render_person
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.weights.export import bundle, encoder_packages, export_pipeline, new_folder

EXAMPLE = 9_000_001
"""A rendered person whom the small weights have never seen."""
UNSAID = ("accelerate", "safetensors", "transformers")
"""What diffusers loads weights with, though the code does not import it."""
MAIN = '\n\nif __name__ == "__main__":\n    page().launch(max_file_size="20mb")\n'
FRONT = """---
title: {title}
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
license: {license}
short_description: A photo and a pose in, that person in that pose out
---
"""
ENDPOINTS = """
## From a program

```python
from gradio_client import Client, handle_file

client = Client("NAME/OF/THIS/SPACE")
joints = client.predict("[[386, 109], ...]", api_name="/skeleton")  # 18 [x, y] in 750x1101
picture = client.predict(
    handle_file("me.png"), "[[386, 109], ...]", 0, 0, 2.0, api_name="/draw"
)  # photo, joints, seed, steps (0: the default), guidance scale
```

`poses.json` has poses to start from. Every picture is marked as generated, visibly and in its
metadata.
"""


def write_space(
    pipe: XMDPTPipeline,
    folder: str | Path,
    title: str = "X-MDPT",
    origin: str = "",
    license: str = "other",
    sample: SampleConfig | None = None,
) -> None:
    """Write `pipe` as the new folder `folder`, which runs where xmdpt is not installed.

    It holds app.py, requirements.txt, README.md, the weights in model/, and a rendered person and
    poses to start from. The card is that of `export_pipeline`; raises ValueError as it does.
    """
    title = " ".join(title.split())
    with new_folder(folder) as partial:
        export_pipeline(pipe, partial / "model", title, origin, license, sample)
        code = bundle(space_app, "page") + MAIN
        (partial / "app.py").write_text(code, encoding="utf-8")
        (partial / "poses.json").write_text(json.dumps(stored_poses()) + "\n")
        Image.fromarray(render_person(identity(0, EXAMPLE), 0)[0]).save(partial / "person.png")
        names = sorted({*_imported(partial.rglob("*.py")), *encoder_packages(pipe)})
        # torch's +cpu says where it came from, not which version it is.
        listed = [f"{name}=={version(name).partition('+')[0]}\n" for name in names]
        (partial / "requirements.txt").write_text("".join(listed))
        front = FRONT.format(
            title=json.dumps(title),
            license=license,
            gradio=version("gradio"),
            python=".".join(map(str, sys.version_info[:2])),
        )
        card = (partial / "model/README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
        card = card.replace("PATH OF THIS FOLDER", "model")
        (partial / "README.md").write_text(front + card + ENDPOINTS, encoding="utf-8")


def _imported(sources: Iterable[Path]) -> set[str]:
    """The packages that Python files import."""
    modules = set(UNSAID)
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    known = packages_distributions()
    names = (known[module][0] for module in modules if module in known)
    return {name.lower().replace("_", "-") for name in names}

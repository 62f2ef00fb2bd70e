"""Modules leave imports of seconds to the functions that need them."""

import subprocess
import sys

import pytest

NETWORKS = ("transformers", "timm", "torchvision", "diffusers")


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (("metrics.labels", "metrics.intervals", "metrics.images"), ("torch", "scipy", "skimage")),
        (
            ("paper.scores", "paper.claims", "costs.tables", "costs.claims"),
            ("torch", "diffusers", "transformers", "scipy", "skimage", "matplotlib"),
        ),
        (("model", "extensions.context"), ("timm", "wandb")),
        (("people.dataset",), ("anny", "mitsuba", "torch")),
        (("features.make", "metrics.perceptual", "photos.subjects", "photos.poses"), NETWORKS),
    ],
    ids=["metrics", "tables of the paper", "the network", "rendered people", "networks"],
)
def test_what_is_not_imported(modules, absent):
    code = "; ".join(["import sys", *(f"import xmdpt.{module}" for module in modules)])
    code += f"; print(*(name for name in {absent} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

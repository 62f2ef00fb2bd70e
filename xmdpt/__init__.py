"""X-MDPT: cross-view masked diffusion transformers for person image synthesis.

The network is in `model`, its diffusion process in `diffusion`, drawing in `pipeline`, settings in
`config`. docs/understand/architecture.md maps all folders and says which may import which.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmdpt.model import XMDPTTransformer2DModel
    from xmdpt.pipeline import XMDPTPipeline
    from xmdpt.weights.load import load_pipeline

__all__ = ["XMDPTPipeline", "XMDPTTransformer2DModel", "load_pipeline"]
_HOMES = {
    "XMDPTPipeline": "xmdpt.pipeline",
    "XMDPTTransformer2DModel": "xmdpt.model",
    "load_pipeline": "xmdpt.weights.load",
}


def __getattr__(name: str) -> object:
    """Import a name on first use, so that the command line does not wait for torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xmdpt' has no attribute '{name}'")

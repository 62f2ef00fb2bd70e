"""X-MDPT: cross-view masked diffusion transformers for person image synthesis.

The network is in `model`, its diffusion process in `diffusion`, drawing in `pipeline`, settings in
`config`. docs/understand/architecture.md maps all folders and says which may import which.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmdpt.model import XMDPTTransformer2DModel
    from xmdpt.pipeline import XMDPTPipeline

__all__ = ["XMDPTPipeline", "XMDPTTransformer2DModel"]


def __getattr__(name: str) -> object:
    """Import the two classes on first use, so that the command line does not wait for torch."""
    if name == "XMDPTTransformer2DModel":
        from xmdpt.model import XMDPTTransformer2DModel

        return XMDPTTransformer2DModel
    if name == "XMDPTPipeline":
        from xmdpt.pipeline import XMDPTPipeline

        return XMDPTPipeline
    raise AttributeError(f"module 'xmdpt' has no attribute '{name}'")

"""The authors' weights as ours and back, under a short name for users; see `xmdpt.weights`."""

from xmdpt.weights.convert import from_official, to_official

__all__ = ["from_official", "to_official"]

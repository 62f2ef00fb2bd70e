"""The authors' weights under the name they were promised by; the code is in `xmdpt.weights`."""

from xmdpt.weights.convert import from_official, to_official

__all__ = ["from_official", "to_official"]

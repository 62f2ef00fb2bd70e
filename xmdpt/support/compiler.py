"""The C++ compiler, without which torch.compile does nothing on a CPU."""

import shutil


def find_compiler() -> str | None:
    """Where it is; None where there is none."""
    return shutil.which("c++") or shutil.which("cl")

"""What a cache of features takes on a disk."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from xmdpt.config import FeaturesConfig
from xmdpt.data.images import DataError

STORAGE = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8": torch.float8_e4m3fn,
}
Shapes = Mapping[str, tuple[int, ...]]


def stored_types(settings: FeaturesConfig) -> dict[str, torch.dtype]:
    """The arrays that a cache with these settings holds."""
    tokens = STORAGE[settings.storage]
    if settings.source_tokens == "stored":
        source = {"source_tokens": tokens}
    else:
        source = {"source_pictures": torch.uint8}
    return {"moments": torch.float32, **source, "pose_tokens": tokens}


def cache_bytes(shapes: Shapes, settings: FeaturesConfig, count: int) -> dict[str, int]:
    """Bytes of each array in a cache of `count` pictures.

    Everything is stored twice, as is and mirrored, except photos.
    """
    copies = {"source_pictures": 1}
    return {
        name: count * copies.get(name, 2) * int(np.prod(shapes[name])) * dtype.itemsize
        for name, dtype in stored_types(settings).items()
    }


def readable(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def check_disk(
    folder: Path, shapes: Shapes, settings: FeaturesConfig, missing: int, count: int
) -> None:
    """Refuse a cache that does not fit on the disk of `folder`.

    `missing` of its `count` pictures are still to be stored.
    """
    free = shutil.disk_usage(folder).free
    need = sum(cache_bytes(shapes, settings, missing).values())
    if need > free:
        smaller = {"storage": "fp8"}, {"storage": "fp8", "source_tokens": "on_the_fly"}
        sizes = [
            sum(cache_bytes(shapes, settings.model_copy(update=change), missing).values())
            for change in smaller
        ]
        raise DataError(
            f"{folder.parent}: the features need {readable(need)} and the disk has "
            f"{readable(free)} free; free some space, move the whole clone to a larger disk (DVC "
            "takes no output behind a link), or set "
            f"features.storage: fp8 ({readable(sizes[0])}), perhaps together with "
            f"features.source_tokens: on_the_fly ({readable(sizes[1])})"
        )
    if need + sum(cache_bytes(shapes, settings, count).values()) > free:
        print(
            "note: DVC copies finished features into its cache unless the file system can share "
            "them, and the disk has no space for a second copy; `dvc config cache.type "
            "reflink,hardlink,symlink` avoids the copy",
            file=sys.stderr,
        )

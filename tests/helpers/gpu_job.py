"""Work that has asked for GPUs as soon as it is imported, as diffusers does."""

import os

ASKED_FOR = os.environ.get("CUDA_VISIBLE_DEVICES")


def note_gpus(job, folder):
    """Note which GPUs were there when this module was imported."""
    (folder / job).write_text(str(ASKED_FOR))

"""The authors' published weights in place of a training: found or named, checked, converted."""

import os
from pathlib import Path

from xmdpt.config import Config, ConfigError
from xmdpt.support.files import file_digest, fingerprint, resumable_dir
from xmdpt.support.hub import is_folder
from xmdpt.weights.convert import CheckpointError, from_official, read_checkpoint

ORIGIN = "the README of trungpx/xmdpt on GitHub links to it"
NOTE = """# The authors' published weights

A folder for each run whose experiment names a file under `released`, converted by the stage of that
name. Profiles that train everything themselves have none.
"""


def missing_files(config: Config) -> list[str]:
    """Say of each published file that the settings name and that is not there how to get it."""
    wanted = {
        file: f"the authors' weights of {config.experiments[run].title}, a .pt file"
        for run, file in config.released.items()
    }
    vae = config.vae.init
    if wanted and vae is not None and is_folder(vae):
        wanted[f"{vae}/config.json"] = "the authors' fine-tuned VAE, a folder of diffusers"
    return [
        f"{file}: missing: {what}; {ORIGIN}: put it there"
        for file, what in wanted.items()
        if not os.path.isfile(file)
    ]


def convert_released(config: Config, folder: str | Path) -> list[str]:
    """Write a model folder below `folder` for each run of published weights; return their runs.

    Raises ConfigError, one line, for files that are missing, and CheckpointError for one that
    cannot be converted.
    """
    if missing := missing_files(config):
        raise ConfigError("; ".join(missing))
    key = fingerprint({run: file_digest(file) for run, file in config.released.items()})
    with resumable_dir(folder, key) as work:
        (work / "README.md").write_text(NOTE, encoding="utf-8")
        for run, file in config.released.items():
            try:
                model = from_official(read_checkpoint(file))
            except CheckpointError:
                raise
            except ValueError as error:
                raise CheckpointError(f"{file}: {error}") from None
            model.save_pretrained(work / run)
    return [*config.released]

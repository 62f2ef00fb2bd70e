"""The training of the stage `vae`, in as many processes as the settings say.

As in `xmdpt.training.run_stage`, several leave a finished state, and the notebook goes on from it.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from xmdpt.config import Config, load_config
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.support.arguments import one_line
from xmdpt.support.ends import in_one_line
from xmdpt.training.errors import TrainingError
from xmdpt.training.processes import in_processes, report
from xmdpt.training.vae import VAEProgress, load_vae, train_vae


def vae_stage(
    config: Config,
    params: str | Path,
    vae: AutoencoderKL,
    data: DeepFashion,
    names: Sequence[str],
    folder: Path,
) -> Iterator[VAEProgress]:
    """Train the autoencoder on the pictures `names` for its stage, as `train_vae` does.

    Raises TrainingError as `in_processes` does.
    """
    training = train_vae(vae, _reader(data, names), len(names), config.vae, config.seed, folder)
    if config.train.processes == 1:
        yield from training
        return
    words = (str(params), str(folder))
    for step, losses, found in in_processes(config.train.processes, __name__, *words):
        yield VAEProgress(step, losses, found)
    for _ in training:  # finished: of its steps nothing is left but to be found
        pass


def _reader(data: DeepFashion, names: Sequence[str]) -> Callable[[int], np.ndarray]:
    return lambda row: data.picture(names[row])


def main(params: str, folder: str) -> None:
    """Train in one of several processes."""
    config = load_config(params)
    data = DeepFashion(config.data.root, config.data.size)
    names = data.pictures("train")
    vae = load_vae(config.vae, config.data.size, config.seed)
    steps = train_vae(vae, _reader(data, names), len(names), config.vae, config.seed, Path(folder))
    for progress in steps:
        if os.environ["RANK"] == "0":
            report(progress.step, progress.losses, progress.found)


if __name__ == "__main__":
    with in_one_line(), one_line(DataError, TrainingError):
        main(*sys.argv[1:])

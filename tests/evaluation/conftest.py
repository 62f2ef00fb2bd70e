"""A data set with two test people, results for its test pairs, baselines and limits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.people import SIZE, write_dataset
from PIL import Image

from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name
from xmdpt.evaluation.baselines import write_baselines, write_limits
from xmdpt.evaluation.summary import Scores, summarise


@pytest.fixture(scope="module", autouse=True)
def one_thread(own_process_state):
    """The last digits of sums depend on how many there are."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> DeepFashion:
    """Six training people and two test people in three views: 18 training pictures, 12 pairs."""
    root = write_dataset(tmp_path_factory.mktemp("eight"), people=8, test_people=2)
    return DeepFashion(root, SIZE)


@pytest.fixture(scope="session")
def results(data, tmp_path_factory) -> Path:
    """For each test pair the true target with a little noise in a tenth of its values."""
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    for source, target in data.pairs("test"):
        noise = rng.normal(0, 1, (SIZE, SIZE, 3)) * (rng.random((SIZE, SIZE, 3)) < 0.1)
        noisy = data.picture(target) + noise
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(folder / result_name(source, target))
    return folder


@pytest.fixture(scope="session")
def answers(data, tmp_path_factory) -> dict[str, Path]:
    """Folders of baselines and limits; the autoencoder leaves 32 levels of each colour."""
    folder = tmp_path_factory.mktemp("answers")
    folders = write_baselines(folder, data, data.pairs("test"))
    return folders | write_limits(folder, data, data.pairs("test"), lambda x: x // 8 * 8)


@pytest.fixture(scope="session")
def summary(data, results, answers) -> tuple[Scores, pd.DataFrame]:
    """Scores of the results as `main`, and of baselines and limits, under `synthetic`."""
    folders = {"main": results} | answers
    return summarise(folders, data.root, data.root, "synthetic", 0, progress=False)

"""Data sets of drawn people."""

import numpy as np
import pytest
from helpers.people import SIZE, write_dataset

from xmdpt.data.deepfashion import DeepFashion


@pytest.fixture
def people(tmp_path):
    """A data set of the test's own, which it may change."""
    return write_dataset(tmp_path / "people")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A read-only data set: NTED's files, with integer joints like those of PATN's tables."""
    root = write_dataset(tmp_path_factory.mktemp("people"))
    for path in root.glob("pose/**/*.txt"):
        np.savetxt(path, np.loadtxt(path).round())
    return root


@pytest.fixture(scope="module")
def truth(drawn):
    return DeepFashion(drawn, SIZE)

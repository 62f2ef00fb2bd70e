"""Results of runs that are long enough to be judged."""

import pytest
from helpers.results import TWICE_READ, results_of


@pytest.fixture
def results(tmp_path):
    """Of runs trained from scratch."""
    return results_of(tmp_path, **TWICE_READ)

"""Faults at random moments, one of each; docs/reproduce/reliability.md tells of many."""

import os
import subprocess
import sys

import pytest
from helpers.faults import FAULTS
from helpers.repository import ROOT
from helpers.small_stages import STAGES


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_is_silently_wrong(fault):
    """A fault once in each stage; what cannot be mounted here is left out, and that is said."""
    command = [sys.executable, ROOT / "benchmarks/faults.py", "--trials", "1", "--faults", fault]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"left out, since nothing can be mounted here: {fault}" in done.stdout or (
        done.stdout.count("| 1 | 1 | 0 |") == len(STAGES)
    )

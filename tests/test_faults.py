"""Faults at random moments, one of each; docs/reproduce/reliability.md tells of many."""

import os
import subprocess
import sys

import pytest
from helpers.faults import FAULTS
from helpers.repository import ROOT
from helpers.small_stages import STAGES

TITLES = {
    "kill": "kill -9", "notice": "SIGTERM", "two": "two at once", "deleted": "output deleted",
    "clock": "clock set back", "flip": "a bit of", "full": "disk full", "read-only": "read-only",
}  # fmt: skip
"""How the table's rows of each fault begin."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """What came of each fault, once in each stage, and what was said."""
    out = tmp_path_factory.mktemp("faults") / "table.md"
    command = [sys.executable, ROOT / "benchmarks/faults.py", "--trials", "1", "--out", out]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert out.is_file(), said
    return out.read_text(), said


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_is_silently_wrong(table, fault):
    """A fault once in each stage; what cannot be mounted here is left out, and that is said."""
    rows, said = table
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows.splitlines()]
    found = [cell for cell in cells if cell[0].startswith(TITLES[fault])]
    left_out = [line for line in said.splitlines() if line.startswith("left out, since")]
    if not any(fault in line for line in left_out):
        assert sum(int(trials) for *_, trials, _, _ in found) == len(STAGES), said
        assert all(lost == "0" for *_, lost in found), said

"""Each fault that a simulation does not look for is found by its own test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import Mutant, planted
from tests.simulation.planting import MUTANTS, VARIABLE

REPO = Path(__file__).parents[2]
ONE_FAILED = 1


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_it_is_found(number: int) -> None:
    test = list(MUTANTS.values())[number]
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "tests.simulation.planting", test]
    environment = os.environ | {VARIABLE: str(number), "PYTHONPATH": str(REPO)}
    found = subprocess.run(
        command, cwd=REPO, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == ONE_FAILED, found.stdout[-3000:] + found.stderr
    assert f"FAILED {test}" in found.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_it_can_be_planted(mutant: Mutant) -> None:
    with planted(mutant):
        pass

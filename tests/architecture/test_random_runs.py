"""`make test-random` asks each property for its number of examples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FILES = ("tests/unit/decider/budget/test_peers.py", "tests/unit/decider/budget/test_cells.py")


def test_a_state_machine_gets_as_many_examples_as_a_property() -> None:
    """It has its settings elsewhere, and ended the whole run before its first test."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider"]
    command += ["-m", "hypothesis", "--hypothesis-profile=random", "--hypothesis-show-statistics"]
    found = subprocess.run(
        [*command, *FILES],
        cwd=REPOSITORY,
        env=os.environ | {"HARMONY_EXAMPLES": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    machine, *properties = found.stdout.split("Stopped because ")[1:]
    assert machine.startswith("settings.max_examples=3\n")
    assert properties
    assert all(one.startswith("settings.max_examples=3\n") for one in properties)

"""The decision path never loads PyMC."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_decider_does_not_load_pymc() -> None:
    code = (
        "import sys, decider, decider.replay, decider.score, services.decision.decide.service;"
        "print([m for m in ('pymc', 'nutpie', 'pytensor') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

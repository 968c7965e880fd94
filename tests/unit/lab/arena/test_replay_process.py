"""The script as it is started: by a Python that has the modules beside it and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

from services.lab.arena.engine import SCRIPT

BLOCKED = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numpy", "scipy", "yaml", "forecaster", "decider"):
            raise ImportError(name + " is no package of the arena's")
        if name.startswith("services.") and not name.startswith("services.lab"):
            raise ImportError(name + " is the product's")
sys.meta_path.insert(0, Block())
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_it_answers_without_the_product() -> None:
    question = json.dumps({"replay": {}}) + "\n"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", BLOCKED, str(SCRIPT)],
        input=question,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = ran.stdout.splitlines()
    assert json.loads(line)["error"].startswith("a replay needs mode=aggregated")

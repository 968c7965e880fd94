"""A module runs as it is, but for its clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from services.lab.bench.faults.acts import wrong_clock

_MODULE = """
import json
import sys
import time
from services.kernel.clock import SystemClock
ahead_s = SystemClock().now().timestamp() - time.time()
print(json.dumps([__name__, sys.argv[1:], ahead_s]))
"""


def test_a_module_runs_with_a_wrong_clock_and_all_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(_MODULE)
    argv = [sys.executable, wrong_clock.__file__, "-3600", "told", "beat", "--fast"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[6])}
    found = subprocess.run(
        argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    name, rest, ahead_s = json.loads(found.stdout)
    assert (name, rest) == ("__main__", ["beat", "--fast"])
    assert abs(ahead_s + 3600) < 60

"""Options of a quick demo of a generated fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.lab.demo.options import DemoOptions

QUICK: dict[str, Any] = {
    "data": None,
    "demand": None,
    "n_workloads": None,
    "hours": 2.0,
    "step_s": None,
    "epsilon": 0.01,
    "seed": 7,
    "is_quick": True,
    "serve": False,
    "report": Path("report.html"),
    "json_file": None,
    "port": 0,
}


def options(**changes: Any) -> DemoOptions:
    """Options as the command line gives them; a file is replayed in place of the fleet."""
    usual = QUICK | {"is_generated": changes.get("data") is None}
    return DemoOptions.from_command_line(**(usual | changes))

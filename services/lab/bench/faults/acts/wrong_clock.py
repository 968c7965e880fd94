"""Runs a module of the platform with a clock that is wrong: `python wrong_clock.py SECONDS MODULE`.

It is called by its path, and so runs the code of an earlier release as well.
"""

from __future__ import annotations

import os
import runpy
import sys
from datetime import datetime, timedelta

from services.kernel.clock import SystemClock


def run_wrongly(ahead: timedelta, module: str) -> None:
    """Run a module as the main one, with each clock of the machine's time ahead by so much."""
    right = SystemClock.now

    def wrong(self: SystemClock) -> datetime:
        return right(self) + ahead

    SystemClock.now = wrong  # type: ignore[method-assign]  # what every process reads
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    seconds, name, *rest = sys.argv[1:]
    sys.path[0] = os.getcwd()  # where `python -m` looks first
    sys.argv = [name, *rest]
    run_wrongly(timedelta(seconds=float(seconds)), name)

"""The line of a whole run of the tests for the log of docs/reliability.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil

REPO = Path(__file__).parents[1]
COLUMNS = ("date", "machine", "commit", "command", "passed", "failed", "seconds")
COMMANDS = {"not slow": "make test", "slow": "make test-slow"}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run.

    Attributes:
        chosen: The marks that tests were chosen by.
        counts: Tests by outcome, as pytest names it.
        seconds: How long it took.
    """

    chosen: str
    counts: Mapping[str, int]
    seconds: float


def log_line(result: RunResult, on: date) -> str:
    """The row of the log's table."""
    failed = result.counts.get("failed", 0) + result.counts.get("error", 0)
    cells = (
        on.isoformat(),
        _machine(),
        _commit(),
        f"`{COMMANDS.get(result.chosen, 'pytest')}`",
        str(result.counts.get("passed", 0)),
        str(failed),
        f"{result.seconds:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def _machine() -> str:
    """Its class; it is not named."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.machine()}"


def _commit() -> str:
    """The commit that was tested; `+` where the tree is another."""
    try:
        head = _git("rev-parse", "--short=7", "HEAD")
        return head + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # an archive has no history


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=REPO, capture_output=True, text=True, check=True)
    return done.stdout.strip()

"""Waiting for another process, which cannot be awaited otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 90.0


def eventually(ask: Callable[[], object], what: str) -> None:
    """Ask until the answer is true; fails after a while that is long on any machine."""
    deadline = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < deadline, f"never saw {what}"
        time.sleep(0.02)

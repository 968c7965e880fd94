"""On Linux the kernel ends a child whose parent is killed."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(word: signal.Signals = signal.SIGTERM) -> None:
    """Ask for `word` when the parent ends; called in the child before it runs its program."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, word)

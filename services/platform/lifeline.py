"""On Linux the kernel ends a child whose parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def begin(word: signal.Signals, parent: int, niceness: int = 0) -> None:
    """What a child does before it runs its program: it gives way, and will end with its parent.

    Args:
        word: Signal to get when the parent ends.
        parent: Process id of the parent.
        niceness: By how much it gives way to others.
    """
    if niceness:
        os.nice(niceness)
    end_with_parent(word, parent)


def end_with_parent(word: signal.Signals, parent: int) -> None:
    """Ask for `word` when the parent ends; called in the child before it runs its program.

    To the kernel the parent is the thread that started the child, so that thread must live on.

    Args:
        word: Signal to get.
        parent: Process id of the parent, which may have ended before the kernel was asked.
    """
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, word)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)

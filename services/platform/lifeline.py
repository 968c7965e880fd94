"""On Linux the kernel ends a child whose parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_GROUP_TRIES, _GROUP_PAUSE_S = 5, 0.1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def begin(word: signal.Signals, parent: int, niceness: int = 0) -> None:
    """What a child does before it runs its program: it gives way, and will end with its parent.

    Args:
        word: Signal to get when the parent ends.
        parent: Process id of the parent.
        niceness: By how much it gives way to others.
    """
    if niceness:
        give_way(niceness)
    end_with_parent(word, parent)


def give_way(niceness: int) -> None:
    """Give way to the other processes, to those of other sessions too.

    Where Linux groups processes by session, as it does on most desktops, niceness counts within a
    session alone, and the session has one of its own.

    Args:
        niceness: By how much.
    """
    os.nice(niceness)
    try:
        group = os.open("/proc/self/autogroup", os.O_WRONLY)
    except OSError:  # a kernel that does not group by session
        return
    for _ in range(_GROUP_TRIES):
        try:
            os.write(group, str(niceness).encode())
            break
        except BlockingIOError:  # whoever is not root may ask once in a tenth of a second
            time.sleep(_GROUP_PAUSE_S)
        except OSError:  # not allowed, as in some containers: niceness alone is left
            break
    os.close(group)


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

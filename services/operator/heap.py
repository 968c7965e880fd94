"""Bounds on the C library's heap: memory of a large answer is given back to the system.

The pages of a LIST are large, short-lived, and decoded by a thread for each kind. Left to itself,
glibc gives each thread a heap of its own and learns to keep large blocks: over 60 MiB stay unused.
"""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
_LARGE = 128 * 1024
_N_ARENAS = 2
_MALLOPT = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None


def bound_heap() -> bool:
    """Limit the number of heaps, and map blocks of 128 KiB and more on their own.

    To be called once, when the process begins.

    Returns:
        Whether the C library can (glibc does).
    """
    if _MALLOPT is None:
        return False
    wanted = ((_MMAP_THRESHOLD, _LARGE), (_ARENA_MAX, _N_ARENAS))
    return all(_MALLOPT(name, value) == 1 for name, value in wanted)

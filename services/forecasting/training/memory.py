"""Gives memory back to the system after a fit.

A fit's arrays leave the C library's heap full of holes that it keeps: 180 of the 574 MiB that a
worker holds after fitting 24 workloads. Freeing the arrays alone does not return them.
"""

from __future__ import annotations

import ctypes
import gc
import sys

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def release_memory() -> None:
    """Collect garbage and return free heap pages, where the C library can (glibc)."""
    gc.collect()
    if _TRIM is not None:
        _TRIM(0)

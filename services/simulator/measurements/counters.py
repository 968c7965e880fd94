"""Tells counters, which only rise, from what is measured a second."""

from __future__ import annotations

import numpy as np

from services.simulator.fleet.arrays import FloatArray

COUNTER_ENDING = "_total"
"""How Prometheus has names of counters end."""
_FEWEST_VALUES = 10


def only_rises(values: FloatArray) -> bool:
    """Never falls, and has risen; of fewer than ten values that says nothing."""
    known = values[np.isfinite(values)]
    if known.size < _FEWEST_VALUES:
        return False
    return bool(np.all(np.diff(known) >= 0) and known[-1] > known[0])


def counter_warning(name: str) -> str:
    """What to say of a counter where a demand is wanted."""
    return f"{name} never falls, as a counter: the demand is what it rises by a second, its rate"

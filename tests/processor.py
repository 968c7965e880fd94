"""How slow this processor is, for bounds on time that were stated on another one."""

from __future__ import annotations

import time

_ADDITIONS = 1_000_000
_STATED_S = 0.03
"""CPU seconds of as many additions on the machine whose figures the bounds are."""


def slowness() -> float:
    """Times that a plain loop takes what it took where the bounds were stated; at least 1.

    Measured when called: a virtual processor may be slower while its neighbours work.
    """
    return max(1.0, min(_loop_s() for _ in range(5)) / _STATED_S)


def _loop_s() -> float:
    began_s, total = time.process_time(), 0
    for number in range(_ADDITIONS):
        total += number
    return time.process_time() - began_s

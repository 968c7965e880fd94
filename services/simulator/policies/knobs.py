"""Checks and labels of knobs that hold one value, or one per setting."""

from __future__ import annotations

import numpy as np

from services.simulator.policies.grid import Knob


def knob_value(knob: Knob, setting: int) -> float:
    """The value of one setting of a knob with one value or G.

    Raises:
        IndexError: If the knob has several values but none for `setting`.
    """
    values = np.atleast_1d(np.asarray(knob, dtype=float))
    return float(values[0 if values.size == 1 else setting])


def require_within(
    name: str, knob: Knob, low: float, high: float = np.inf, *, is_low_open: bool = True
) -> None:
    """Refuse knob values outside (low, high], or [low, high] with `is_low_open=False`.

    Raises:
        ValueError: If any value is outside or not a number; names the knob.
    """
    values = np.atleast_1d(np.asarray(knob, dtype=float))
    is_above = values > low if is_low_open else values >= low
    if not np.all(is_above & (values <= high)):
        bracket = "(" if is_low_open else "["
        raise ValueError(f"{name}={knob} must be in {bracket}{low:g}, {high:g}]")

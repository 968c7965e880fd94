"""Demand that stands far above the rest is told, real bursts are not."""

from __future__ import annotations

import numpy as np

from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.trace_file import TraceSeries
from services.simulator.measurements.peaks import far_peaks

WAVE = 50.0 + 20.0 * np.sin(np.arange(300.0) / 9)


def series(demand: FloatArray, name: str = "a") -> TraceSeries:
    time_s = 1_767_225_600 + 300 * np.arange(demand.size)
    return TraceSeries(name, time_s, np.column_stack([np.ones(demand.size), demand]))


def with_step(at: int, value: float, demand: FloatArray = WAVE) -> FloatArray:
    changed = demand.copy()
    changed[at] = value
    return changed


def test_a_slip_of_units_in_one_step_is_told_with_its_time() -> None:
    (said,) = far_peaks([series(WAVE, "b"), series(with_step(12, 70_000.0))], 1)
    assert said.startswith("70000 of 'a' at 2026-01-01T01:00:00Z is 1,00")
    assert "times what 99 % of its steps need: replicas are sized" in said
    (more,) = far_peaks([series(with_step(7, 40_000.0)), series(with_step(12, 70_000.0))], 1)
    assert "; 1 more like it" in more


def test_bursts_gaps_and_services_that_are_mostly_idle_are_not() -> None:
    bursts = WAVE * np.where(np.arange(300) % 40 == 0, 20.0, 1.0)
    idle = np.where(np.arange(300) % 50 == 0, 9.0, 0.0)
    for demand in (WAVE, bursts, idle, with_step(5, np.nan), with_step(5, 1500.0), WAVE[:50]):
        assert far_peaks([series(demand)], 1) == ()

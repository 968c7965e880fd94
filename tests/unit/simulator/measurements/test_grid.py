"""Times that are on no grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.measurements import ColumnChoice, read_file
from services.simulator.measurements.grid import averaged, likely_interval
from tests.unit.simulator.measurements.texts import csv, lines, stamps


def test_irregular_times_are_averaged_and_it_is_said(tmp_path: Path) -> None:
    text = "ts,rps\n" + lines(stamps(6, 30, (0.4, 7.0)), [1, 3, 5, 7, 9, 11])
    found = read_file(csv(tmp_path, text), ColumnChoice())
    (series,) = found.trace.series
    assert found.trace.interval_s == 30
    assert series.values[:, 0].tolist() == [1, 3, 5, 7, 9, 11]
    assert "irregular: averaged over steps of 30 s" in found.said[1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 500_000), min_size=2, max_size=60),
    st.integers(0, 10_000),
)
def test_averaging_loses_no_measurement(gaps_ms: list[int], first_ms: int) -> None:
    times = first_ms + np.cumsum(np.array(gaps_ms, dtype=np.int64))
    values = np.arange(times.size, dtype=float)[:, None]
    step_s = likely_interval([times])
    found = averaged("a", times, values, step_s)
    counts = np.array([np.sum(times // (1000 * step_s) == t // step_s) for t in found.time_s])
    assert counts.sum() == times.size
    assert float((found.values[:, 0] * counts).sum()) == pytest.approx(float(values.sum()))
    assert np.all(np.diff(found.time_s) > 0)

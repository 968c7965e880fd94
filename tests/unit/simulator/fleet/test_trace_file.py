"""A trace on its grid."""

from __future__ import annotations

import numpy as np

from services.simulator.fleet.trace_file import TraceFile, TraceSeries


def test_its_hours_reach_from_the_first_row_of_any_workload_to_the_end_of_the_last() -> None:
    series = tuple(
        TraceSeries(name, np.array(times), np.zeros((len(times), 1)))
        for name, times in (("a", [0, 1800]), ("b", [600, 6600]))
    )
    assert TraceFile("t", 600, "x", (), series).hours() == 2.0

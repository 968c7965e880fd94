"""What runs today is replayed, not what has been retired since."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.fleet import LoadedTrace, TraceOptions, fleet_of
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.trace_file import TraceFile, TraceSeries
from services.simulator.fleet.trace_metadata import TraceColumn

HOUR = 3600
OPTIONS = TraceOptions(replay_hours=10.0, min_history_steps=50)


def series(name: str, first: int, last: int) -> TraceSeries:
    hours = np.arange(first, last)
    values: FloatArray = (50 + hours % 7).astype(float)[:, None]
    return TraceSeries(name, hours * HOUR, values)


def loaded(*found: TraceSeries) -> LoadedTrace:
    trace = TraceFile("a test", HOUR, "rps", (TraceColumn("rps", 1, ""),), found)
    return fleet_of(trace, "test", OPTIONS)


def names(found: LoadedTrace) -> list[str]:
    return [workload.name for workload in found.fleet.workloads]


@pytest.mark.parametrize(("first", "n_history"), [(700, 1590), (900, 690), (1530, 60)])
def test_the_live_service_is_replayed_and_not_the_retired_one(first: int, n_history: int) -> None:
    """Also where it is so young that most of the other's time is before it began."""
    found = loaded(series("old", 0, 1500), series("new", first, 1600))
    assert names(found) == ["new"]
    assert found.end_said == "the replay ends 1970-03-08T16:00:00Z; as the data do"
    assert [d.workload for d in found.dropped] == ["old"]
    assert found.fleet.n_history == n_history


def test_where_the_latest_cannot_be_used_an_earlier_end_is_and_it_is_said() -> None:
    found = loaded(series("old", 0, 1500), series("new", 1580, 1600))
    assert names(found) == ["old"]
    assert found.end_said == "the replay ends 1970-03-04T12:00:00Z; the 100 h after it are not used"


def test_services_that_end_a_little_apart_are_replayed_together() -> None:
    found = loaded(series("a", 0, 1500), series("b", 0, 1503))
    assert names(found) == ["a", "b"]
    assert found.fleet.n_replay == 10

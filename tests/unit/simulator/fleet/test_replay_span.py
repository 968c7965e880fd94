"""What runs today is replayed, not what has been retired since."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from services.simulator.fleet import (
    LoadedTrace,
    TraceError,
    TraceOptions,
    fleet_of,
    replay_span as module,
    whole_fleet_of,
)
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.resample import panel
from services.simulator.fleet.trace_file import TraceFile, TraceSeries
from services.simulator.fleet.trace_metadata import TraceColumn

HOUR = 3600
OPTIONS = TraceOptions(replay_hours=10.0, min_history_steps=50)


def series(name: str, first: int, last: int) -> TraceSeries:
    hours = np.arange(first, last)
    values: FloatArray = (50 + hours % 7).astype(float)[:, None]
    return TraceSeries(name, hours * HOUR, values)


def trace_of(*found: TraceSeries) -> TraceFile:
    return TraceFile("a test", HOUR, "rps", (TraceColumn("rps", 1, ""),), found)


def loaded(*found: TraceSeries) -> LoadedTrace:
    return fleet_of(trace_of(*found), "test", OPTIONS)


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


def test_one_old_service_does_not_leave_out_all_that_began_since() -> None:
    """Of twelve services the one of sixty days was replayed, and eleven of 27 days left out."""
    began = 33 * 24
    young = [series(f"s{k}", began + k, 60 * 24) for k in range(1, 12)]
    found = loaded(series("s0", 0, 60 * 24), *young)
    assert len(names(found)) == 12
    assert found.fleet.n_history == 60 * 24 - began - 1 - OPTIONS.replay_hours
    assert found.dropped == ()


def test_two_services_of_twenty_days_count_more_than_one_of_sixty() -> None:
    """What is older than two weeks is worth no service."""
    old, end = series("old", 0, 60 * 24), 60 * 24
    found = loaded(old, series("a", 40 * 24, end), series("b", 40 * 24, end))
    assert names(found) == ["old", "a", "b"]
    assert found.fleet.n_history == 20 * 24 - OPTIONS.replay_hours


def test_one_new_service_does_not_take_the_history_of_all_others() -> None:
    old = [series(f"s{k}", 0, 60 * 24) for k in range(11)]
    found = loaded(*old, series("new", 57 * 24, 60 * 24))
    assert len(names(found)) == 11
    assert found.fleet.n_history == 60 * 24 - OPTIONS.replay_hours
    assert [d.workload for d in found.dropped] == ["new"]


@pytest.mark.parametrize("seed", range(8))
def test_the_span_is_that_of_most_history_of_all_that_end_together(seed: int) -> None:
    """As looked for among all of them; some of the services cannot be used for other reasons."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(7):
        one = series(f"s{k}", int(rng.integers(0, 900)), 1000)
        one.values[rng.random(one.time_s.size) < rng.uniform(0, 0.6)] = np.nan
        if k % 3 == 0:
            one.values[-5] = -1.0
        found.append(one)
    search = module.SpanSearch(found, 0, HOUR, 10, 50, None)
    spans = [span for span in search.spans() if span.end_s == search.last_s]
    each = [module.latest_usable(search, [span]) for span in spans]
    worth = [(len(one.kept) * min(one.span.n_history, 14 * 24), one.span.n_history) for one in each]
    assert module.latest_usable(search, search.spans()).span == spans[worth.index(max(worth))]


def test_a_negative_demand_is_told_with_the_value_and_its_time() -> None:
    bad = series("bad", 0, 1500)
    bad.values[[7, 9]] = -2.5
    found = loaded(series("good", 0, 1500), bad)
    assert [(d.workload, d.reason) for d in found.dropped] == [
        ("bad", "negative demand, -2.5 in the step of 1970-01-01T07:00:00Z")
    ]


def test_of_services_that_come_and_go_few_spans_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand of them took minutes: their ends and starts make a million spans."""
    rng = np.random.default_rng(5)
    found = []
    for k in range(200):
        first, last = sorted(rng.choice(np.arange(1600), 2, replace=False))
        one = series(f"s{k}", int(first), int(last) + 5)
        if k % 3 == 0:
            one.values[:] = 5.0  # constant, so of no use in any span
        found.append(one)
    panels, spans = mock.Mock(wraps=panel), mock.Mock(wraps=module.ReplaySpan)
    monkeypatch.setattr(module, "panel", panels)
    monkeypatch.setattr(module, "ReplaySpan", spans)
    assert names(loaded(*found))
    assert panels.call_count == len(found)
    assert spans.call_count < 4 * len(found)


def test_what_is_stored_keeps_all_services_from_the_first_step_to_the_last() -> None:
    """Those of a replay would be one of these four."""
    found = whole_fleet_of(
        trace_of(
            series("retired", 0, 700),
            series("live", 0, 1500),
            series("young", 1490, 1500),
            TraceSeries("steady", np.arange(1500) * HOUR, np.full((1500, 1), 5.0)),
            TraceSeries("never", np.arange(1500) * HOUR, np.zeros((1500, 1))),
        ),
        "test",
    )
    assert names(found) == ["retired", "live", "young", "steady"]
    assert (found.fleet.start_s, found.fleet.n_steps) == (0, 1500)
    assert np.isfinite(found.fleet.demand).sum(axis=1).tolist() == [700, 1500, 10, 1500]
    assert all(workload.capacity_per_replica > 0 for workload in found.fleet.workloads)
    assert [(d.workload, d.reason) for d in found.dropped] == [
        ("never", "no demand in the history: always zero")
    ]


def test_a_step_alone_is_no_trace() -> None:
    with pytest.raises(TraceError, match="test is too short: one step of 3600 s; two are needed"):
        whole_fleet_of(trace_of(series("a", 0, 1)), "test")

"""What a sample costs in Python, counted in calls: a machine's speed and load do not matter."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import pytest
from sqlalchemy import event, text

from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.push.service import push
from services.ingest.remote_write.protocol import Version
from services.ingest.remote_write.service import remote_write
from services.ingest.series.source import SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import FakeSource
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.pushes import T0, at_s, body
from tests.unit.ingest.remote_requests import body_v1, indicator

pytestmark = pytest.mark.integration

N_WORKLOADS = 100
NAMES = tuple(f"indicator_{number}_ratio" for number in range(10))
N_SAMPLES = N_WORKLOADS * len(NAMES)
MOST_CALLS = {"push": 6.0, "remote write": 14.0}
"""Of a series seen before, with one sample. 3.8 and 10.1 are taken; when each series was looked
at by itself it took 122 and 197."""


def count_calls(use_case: Callable[[], object]) -> int:
    """Calls of functions, of Python and of C."""
    found: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        found[event] += 1

    sys.setprofile(note)
    try:
        use_case()
    finally:
        sys.setprofile(None)
    return found["call"] + found["c_call"]


def push_all(deps: IngestDeps, offset_s: float) -> int:
    entries = [
        (f"w{n}", name, [[at_s(offset_s), float(n)]]) for n in range(N_WORKLOADS) for name in NAMES
    ]
    request = body(*entries)  # type: ignore[arg-type]  # lists of numbers
    return count_calls(lambda: push(deps, request))


def write_all(deps: IngestDeps, offset_s: float) -> int:
    at_ms = round((T0 + timedelta(seconds=offset_s)).timestamp() * 1000)
    request = body_v1(
        *(
            (indicator(name, f"w{n}", instance="a:9090"), [(at_ms, float(n))])
            for n in range(N_WORKLOADS)
            for name in NAMES
        )
    )
    return count_calls(lambda: remote_write(deps, request, Version.V1))


@pytest.mark.parametrize(
    ("protocol", "send"), [("push", push_all), ("remote write", write_all)], ids=MOST_CALLS
)
def test_a_sample_of_a_series_seen_before_costs_few_calls(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    protocol: str,
    send: Callable[[IngestDeps, float], int],
) -> None:
    register(N_WORKLOADS, tuple(IndicatorSpec(name=name, level=1, unit="ratio") for name in NAMES))
    clock.advance(30)
    first, second = send(deps, 1.0) / N_SAMPLES, send(deps, 2.0) / N_SAMPLES
    print(f"\n{protocol}: {first:.1f} calls a sample of a new series, {second:.1f} of a known one")
    assert second <= MOST_CALLS[protocol]


def test_a_dead_source_costs_no_statement_for_each_workload(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """The cursors of the shard are locked while they are counted, at each pull of the outage."""
    n_workloads = 30
    source = deps.source = FakeSource()
    ids = register(n_workloads, (IndicatorSpec(name="load_rps", level=1, query="sum(load)"),))
    clock.advance(60)
    pull_shard(deps, 0, clock.now())
    source.error = SourceError("unreachable", "connection refused")
    statements: list[str] = []

    @event.listens_for(deps.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    for n_pulls in (1, 2):
        statements.clear()
        clock.advance(60)
        pull_shard(deps, 0, clock.now())
        assert len(statements) < n_workloads
        with deps.engine.connect() as connection:
            rows = connection.execute(text("SELECT workload_id, n_rejected FROM ingest_cursors"))
            found = {row.workload_id: row.n_rejected for row in rows}
        assert {id_: sum(found[id_].values()) for id_ in ids} == dict.fromkeys(ids, n_pulls)

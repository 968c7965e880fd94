"""A pull reads which pods have how many requests, where the operator may mark pods."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.series.source import SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import FakeSource
from tests.integration.ingest.conftest import Register

pytestmark = pytest.mark.integration
QUERY = "sum(avg_over_time(load[$step]))"
DEMAND = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
RUNNING = IndicatorSpec(name="concurrency_requests", level=2, query=QUERY)


def readings(deps: IngestDeps) -> dict[int, dict[str, float]]:
    with deps.engine.connect() as connection:
        rows = connection.execute(text("SELECT workload_id, by_pod FROM pod_requests"))
        return {row.workload_id: row.by_pod for row in rows}


def pull(deps: IngestDeps, *, is_on: bool = True) -> None:
    deps.settings = deps.settings.model_copy(update={"operator_deletion_cost": is_on})
    pull_shard(deps, 0, deps.clock.now())


def test_each_pull_stores_the_newest_readings(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    deps.source = FakeSource()
    (workload_id,) = register(1, (DEMAND, RUNNING))
    clock.advance(60)
    pull(deps)
    assert readings(deps) == {workload_id: {"a": 13.0, "b": 20.0}}
    clock.advance(15)
    pull(deps)
    assert readings(deps) == {workload_id: {"a": 10.0, "b": 20.0}}


def test_it_is_off_where_no_pod_may_be_marked(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    deps.source = source = FakeSource()
    register(1, (DEMAND, RUNNING))
    clock.advance(60)
    pull(deps, is_on=False)
    assert not any("by (pod)" in query.expression for query in source.asked)
    assert readings(deps) == {}


def test_a_source_that_fails_leaves_the_indicators_as_they_are(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    source = FakeSource()
    deps.source = source
    register(1, (DEMAND, RUNNING))
    clock.advance(60)
    source.error = SourceError("timeout", "no answer")
    pull(deps)
    assert readings(deps) == {}

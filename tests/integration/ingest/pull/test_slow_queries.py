"""Queries that take too long cost the workload that asks them, and nobody else."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, BrokenBarrierError

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import PullResult, pull_shard
from services.ingest.series.source import TIMEOUT, LabelledPoints, Points, RangeQuery, SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import FakeSource
from tests.integration.ingest.conftest import Register

pytestmark = pytest.mark.integration
N_CONNECTIONS = 8
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
RUNNING = IndicatorSpec(
    name="concurrency_requests", level=2, query="sum(avg_over_time(load[$step]))"
)
HEAVY = tuple(
    IndicatorSpec(name=f"heavy{number}_rps", level=1, query=f"sum(heavy{number})")
    for number in range(N_CONNECTIONS)
)


class SlowQueries(FakeSource):
    """Queries with a word of `slow` hold their connections until all of these are held."""

    def __init__(self, n_held: int = N_CONNECTIONS) -> None:
        super().__init__({"sum(load)": lambda at_s: 30.0})
        self.slow = {"heavy"}
        self.held = Barrier(n_held)

    def fetch(self, query: RangeQuery) -> Points:
        self._wait(query)
        return super().fetch(query)

    def fetch_series(self, query: RangeQuery) -> list[LabelledPoints]:
        self._wait(query)
        return super().fetch_series(query)

    def _wait(self, query: RangeQuery) -> None:
        if not any(word in query.expression for word in self.slow):
            return
        self.asked.append(query)
        try:
            self.held.wait(0.2)
        except BrokenBarrierError:
            self.held.reset()
        raise SourceError(TIMEOUT, "no answer within 10 s")


@pytest.fixture
def source(deps: IngestDeps) -> SlowQueries:
    deps.source = SlowQueries()
    deps.settings = deps.settings.model_copy(update={"fit_max_steps": 20})
    return deps.source


def pull(deps: IngestDeps, clock: FixedClock) -> PullResult:
    clock.advance(60)
    found = pull_shard(deps, 0, clock.now())
    service.resample_shard(deps, 0, clock.now())
    return found


def measured(deps: IngestDeps) -> list[int]:
    """Workloads that have a sample."""
    statement = text(
        "SELECT workload_id FROM ingest_cursors WHERE last_sample_at IS NOT NULL ORDER BY 1"
    )
    with deps.engine.connect() as connection:
        return list(connection.execute(statement).scalars())


def told(deps: IngestDeps) -> dict[int, str]:
    """What is said of workloads whose queries are slow."""
    statement = text("SELECT workload_id, message FROM workload_errors WHERE stage = 'pull'")
    with deps.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(statement)}


def test_a_workload_of_slow_queries_keeps_no_other_from_its_samples(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    (slow,) = register(1, HEAVY, prefix="a")
    others = register(12, (LOAD,), prefix="b")
    for _ in range(2):
        source.asked.clear()
        result = pull(deps, clock)
        assert measured(deps) == others
        assert "not_tried" not in result.n_errors
    assert list(told(deps)) == [slow]
    assert "shop/a0 heavy" in told(deps)[slow]
    asked = [query.expression for query in source.asked]
    assert asked[: len(others)] == ["sum(load)"] * len(others), "who was slow comes last"


def test_many_workloads_of_one_namespace_do_not_make_the_server_away(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    slow = register(2 * N_CONNECTIONS, HEAVY[:1], prefix="a")
    others = register(12, (LOAD,), prefix="b")
    with deps.engine.begin() as connection:
        statement = text("UPDATE workloads SET namespace = 'tenant' WHERE id = ANY(:ids)")
        connection.execute(statement, {"ids": others})
    pull(deps, clock)
    assert measured(deps) == others
    assert set(told(deps)) == set(slow)


def test_who_was_slow_is_told_so_until_it_is_answered_in_time(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    source.held = Barrier(1)
    (slow,) = register(1, (HEAVY[0], LOAD), prefix="a")
    pull(deps, clock)
    assert list(told(deps)) == [slow]
    source.error = SourceError("unreachable", "connection refused")
    source.slow.clear()
    pull(deps, clock)
    assert list(told(deps)) == [slow], "a server that is away says nothing of it"
    source.error = None
    pull(deps, clock)
    assert told(deps) == {}


def test_who_asks_no_more_is_told_nothing(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    source.held = Barrier(1)
    (slow,) = register(1, HEAVY[:1], prefix="a")
    pull(deps, clock)
    assert list(told(deps)) == [slow]
    with deps.engine.begin() as connection:
        statement = text(
            "UPDATE workloads SET spec = jsonb_set(spec, '{indicators,0,query}', '\"\"'), "
            "spec_version = spec_version + 1"
        )
        connection.execute(statement)
    pull(deps, clock)
    assert told(deps) == {}


def test_no_history_is_tried_of_a_workload_whose_newest_steps_are_too_slow(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    source.held = Barrier(1)
    register(1, HEAVY[:1])
    for _ in range(2):
        source.asked.clear()
        clock.advance(deps.settings.late_s)
        pull(deps, clock)
    (asked,) = source.asked
    assert asked.end_at - asked.start_at <= timedelta(seconds=deps.settings.late_s + 60)


def test_slow_workloads_are_asked_for_no_longer_than_a_query_may_take(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    source.held = Barrier(1)
    slow = register(3, HEAVY[:1])
    pull(deps, clock)
    assert set(told(deps)) == set(slow)
    deps.settings = deps.settings.model_copy(update={"prometheus_timeout_s": 1e-9})
    source.asked.clear()
    result = pull(deps, clock)
    assert (source.asked, result.n_errors) == ([], {"not_tried": 3})
    assert set(told(deps)) == set(slow)


def test_slow_readings_of_pods_keep_no_other_from_its_own(
    deps: IngestDeps, clock: FixedClock, source: SlowQueries, register: Register
) -> None:
    deps.settings = deps.settings.model_copy(update={"operator_deletion_cost": True})
    source.slow = {"sum by (pod) (last_over_time(load{slow"}
    source.held = Barrier(4)
    query = RUNNING.query.replace("load", 'load{slow="1"}')
    slow = register(4, (LOAD, RUNNING.model_copy(update={"query": query})), prefix="a")
    others = register(6, (LOAD, RUNNING), prefix="b")
    with deps.engine.begin() as connection:
        statement = text("UPDATE workloads SET namespace = 'tenant' WHERE id = ANY(:ids)")
        connection.execute(statement, {"ids": others})
    pull(deps, clock)
    with deps.engine.connect() as connection:
        statement = text("SELECT workload_id FROM pod_requests ORDER BY 1")
        assert list(connection.execute(statement).scalars()) == others
    assert set(told(deps)) == set(slow)

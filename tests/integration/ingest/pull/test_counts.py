"""Counts of an objective by pull: asked for last, and in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.series.source import Points, RangeQuery, SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import T0, FakeSource
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import GOOD, TOTAL, WAITING, names_stored, pulled
from tests.integration.ingest.pushes import push_rate

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
MISSPELT = IndicatorSpec(name="load_rps", level=1, query="sum(lod)")
COUNTED, OF_GOOD, QUEUE = "sum(rate(ttft_count[60s]))", "sum(rate(ttft_bucket[60s]))", "sum(queue)"
OBJECTIVE = pulled(
    sli_ttft_total="sum(rate(ttft_count[$step]))",
    sli_ttft_good="sum(rate(ttft_bucket[$step]))",
    sli_waiting=QUEUE,
)


class Engines(FakeSource):
    """The world with a latency that is counted; some of its queries may fail."""

    def __init__(self) -> None:
        super().__init__(
            {
                "sum(load)": lambda at_s: 30.0,
                COUNTED: lambda at_s: 2.0,
                QUEUE: lambda at_s: 3.0,
            }
        )
        self.fails: dict[str, SourceError] = {}

    def fetch(self, query: RangeQuery) -> Points:
        if query.expression in self.fails:
            self.asked.append(query)
            raise self.fails[query.expression]
        return super().fetch(query)


@pytest.fixture
def engines(deps: IngestDeps) -> Engines:
    deps.source = Engines()
    deps.settings = deps.settings.model_copy(update={"fit_max_steps": 30})
    return deps.source


def step(deps: IngestDeps, clock: FixedClock) -> service.ResampleResult:
    clock.advance(60)
    pull_shard(deps, 0, clock.now())
    return service.resample_shard(deps, 0, clock.now())


def test_counts_are_rates_of_their_step_and_what_has_no_answer_has_no_row(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    (workload_id,) = register(1, (LOAD,), objective=OBJECTIVE)
    assert step(deps, clock).origins == (T0,)
    assert stored_steps(deps.engine, workload_id, TOTAL)[-1] == (T0, 2.0)
    assert stored_steps(deps.engine, workload_id, WAITING)[-1] == (T0, 3.0)
    assert names_stored(deps) == {"load_rps", TOTAL, WAITING}


def test_history_is_loaded_of_counts_too(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    (workload_id,) = register(1, (LOAD,), objective=OBJECTIVE)
    step(deps, clock)
    for name in ("load_rps", TOTAL):
        assert len(stored_steps(deps.engine, workload_id, name)) == 30 + 10  # and those within late


def test_all_else_is_asked_for_before_any_count(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    register(2, (LOAD,), objective=OBJECTIVE)
    step(deps, clock)
    engines.asked.clear()
    step(deps, clock)
    asked = [query.expression for query in engines.asked]
    assert asked[:2] == ["sum(load)"] * 2
    assert "sum(load)" not in asked[2:]


@pytest.mark.parametrize("reason", ["timeout", "bad_query", "several_series", "unreachable"])
def test_a_count_that_fails_changes_no_indicator_and_no_origin(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register, reason: str
) -> None:
    first, second = register(2, (LOAD,), objective=OBJECTIVE)
    for expression in (COUNTED, OF_GOOD):
        engines.fails[expression] = SourceError(reason, "no answer")
    assert step(deps, clock).origins == (T0,)
    assert step(deps, clock).origins == (T0 + STEP,)
    for workload_id in (first, second):
        values = [value for _, value in stored_steps(deps.engine, workload_id, "load_rps")]
        assert values == [30.0] * 41
        assert stored_steps(deps.engine, workload_id, TOTAL) == []
    with deps.engine.connect() as connection:
        counted = connection.execute(text("SELECT n_rejected FROM ingest_cursors")).scalars().all()
    assert all(f"source_{reason}" in found for found in counted) or reason in {
        "timeout",
        "unreachable",  # the second is not tried then
    }


def test_a_server_that_is_down_is_not_asked_for_counts(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    register(2, (LOAD,), objective=OBJECTIVE)
    step(deps, clock)
    engines.error = SourceError("timeout", "no answer within 10 s")
    engines.asked.clear()
    clock.advance(60)
    result = pull_shard(deps, 0, clock.now())
    assert {query.expression for query in engines.asked} == {"sum(load)"}
    assert sum(result.n_errors.values()) == 2 + 2 * 3


def test_counts_without_a_demand_move_no_cursor(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    register(1, (MISSPELT,), objective=OBJECTIVE)
    done = step(deps, clock)
    assert done.origins == ()
    clock.advance(deps.settings.grace_s)
    assert service.resample_shard(deps, 0, clock.now()).origins == (T0,)
    with deps.engine.connect() as connection:
        found = connection.execute(text("SELECT last_sample_at FROM ingest_cursors")).scalar_one()
    assert found is None


def test_a_pushed_demand_beside_pulled_counts(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    (workload_id,) = register(objective=OBJECTIVE)
    clock.advance(60)
    assert service.sweep(deps, clock.now()).pulled == (0,)
    pull_shard(deps, 0, clock.now())
    push_rate(deps, (10, 5.0))
    assert service.resample_shard(deps, 0, clock.now()).origins == (T0,)
    assert stored_steps(deps.engine, workload_id, TOTAL)[-1] == (T0, 2.0)


def test_no_zero_is_invented_for_a_count(
    deps: IngestDeps, clock: FixedClock, engines: Engines, register: Register
) -> None:
    """Not even beside an indicator of `gap: Zero` that the same empty answer makes one for."""
    query = "sum(rate(ttft_count[$step]))"
    zero = IndicatorSpec(name="zero_rps", level=1, query=query, gap="Zero")
    (workload_id,) = register(1, (LOAD, zero), objective=OBJECTIVE)
    step(deps, clock)
    del engines.expressions[COUNTED]
    step(deps, clock)
    newest = T0 + STEP
    assert stored_steps(deps.engine, workload_id, "zero_rps")[-1] == (newest, 0.0)
    assert stored_steps(deps.engine, workload_id, TOTAL)[-1] == (T0, 2.0)
    assert GOOD not in names_stored(deps)

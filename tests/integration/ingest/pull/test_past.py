"""Histories that a source gives late, or not to everybody; who pulls, and by which clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import PullResult, pull_shard
from services.ingest.series.source import (
    BAD_STATUS,
    MALFORMED,
    NOT_EVALUATED,
    TIMEOUT,
    Points,
    RangeQuery,
    SourceError,
)
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.db.session_lock import session_lock
from services.kernel.domain import IndicatorSpec
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import T0, FakeSource
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
TOKENS = IndicatorSpec(name="tokens_per_s", level=1, query="sum(tokens_total)", kind="counter")
LONG = timedelta(minutes=30)


class SlowHistory(FakeSource):
    """Answers of long stretches of some expressions fail."""

    def __init__(self, *slow: str, reason: str = TIMEOUT) -> None:
        super().__init__()
        self.slow, self.reason = set(slow), reason

    def fetch(self, query: RangeQuery) -> Points:
        if query.expression in self.slow and query.end_at - query.start_at > LONG:
            self.asked.append(query)
            raise SourceError(self.reason, "no answer within 10 s")
        return super().fetch(query)

    def long_ones(self) -> list[str]:
        """Expressions that were asked for over a long stretch."""
        return [one.expression for one in self.asked if one.end_at - one.start_at > LONG]


@pytest.fixture
def hour(deps: IngestDeps, clock: FixedClock, settings: Settings) -> IngestDeps:
    """Histories are of an hour."""
    deps.settings = settings.model_copy(update={"fit_max_steps": 60})
    clock.advance(60)
    return deps


def pull(deps: IngestDeps) -> PullResult:
    return pull_shard(deps, 0, deps.clock.now())


def first_step(deps: IngestDeps, workload_id: int, indicator: IndicatorSpec) -> int | None:
    """Number of the first step with a value, counted from T0."""
    steps = stored_steps(deps.engine, workload_id, indicator.name)
    seen = [(at - T0) // STEP for at, value in steps if value is not None]
    return min(seen, default=None)


def noted(deps: IngestDeps) -> list[tuple[int, str]]:
    with deps.engine.connect() as connection:
        rows = connection.execute(text("SELECT workload_id, stage FROM workload_errors ORDER BY 1"))
        return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize("reason", [TIMEOUT, BAD_STATUS, MALFORMED, NOT_EVALUATED])
def test_a_history_that_could_not_be_asked_for_is_asked_for_again(
    hour: IngestDeps, clock: FixedClock, register: Register, reason: str
) -> None:
    source = hour.source = SlowHistory("sum(load)", reason=reason)
    (workload_id,) = register(1, (LOAD,))
    pull(hour)
    service.resample_shard(hour, 0, clock.now())
    assert first_step(hour, workload_id, LOAD) == -9, "the newest steps are there all the same"
    assert noted(hour) == [(workload_id, "history")]
    source.slow.clear()
    source.asked.clear()
    clock.advance(60)
    pull(hour)
    assert source.long_ones() == [], "not at every pull"
    clock.advance(480)
    pull(hour)
    assert first_step(hour, workload_id, LOAD) == -60
    assert noted(hour) == []
    source.asked.clear()
    clock.advance(600)
    pull(hour)
    assert source.long_ones() == []


def test_a_slow_history_keeps_no_other_from_its_own(hour: IngestDeps, register: Register) -> None:
    hour.source = SlowHistory("sum(load)")
    (slow,) = register(1, (LOAD,), prefix="slow")
    (other,) = register(1, (TOKENS,), prefix="other")
    pull(hour)
    assert (first_step(hour, slow, LOAD), first_step(hour, other, TOKENS)) == (None, -69)


def test_histories_that_a_dead_server_did_not_give_are_asked_for_when_it_is_back(
    hour: IngestDeps, clock: FixedClock, register: Register
) -> None:
    source = hour.source = FakeSource()
    source.error = SourceError("unreachable", "http://prometheus:9090 cannot be reached")
    ids = register(2, (LOAD,))
    pull(hour)
    assert noted(hour) == [(id_, "history") for id_ in ids]
    source.error = None
    clock.advance(540)
    pull(hour)
    assert [first_step(hour, id_, LOAD) for id_ in ids] == [-60, -60]
    assert noted(hour) == []


def test_a_shard_is_pulled_by_one_worker_at_a_time(hour: IngestDeps, register: Register) -> None:
    source = hour.source = FakeSource()
    register(1, (LOAD,))
    with session_lock(hour.engine, "harmony.ingest.pull.0") as is_mine:
        assert is_mine
        assert pull(hour) == PullResult(0, 0, {})
    assert source.asked == []
    assert pull(hour).n_accepted > 0


def test_a_clock_that_is_ahead_asks_for_no_step_to_come(
    hour: IngestDeps, register: Register
) -> None:
    source = hour.source = FakeSource()
    register(1, (LOAD,))
    hour.clock = SystemClock()
    pull_shard(hour, 0, hour.clock.now() + timedelta(hours=1))
    assert source.asked
    assert max(query.end_at for query in source.asked) <= hour.clock.now()

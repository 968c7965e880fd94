"""Whoever writes to cursors locks them in one order, and before steps: nobody waits in a circle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.pull.service import pull_shard
from services.ingest.push.cursor_repository import CursorMoves, note_samples
from services.ingest.push.refused import Tally
from services.ingest.push.service import push
from services.ingest.series import repository, shard_repository
from services.ingest.series.source import BAD_QUERY, Points, RangeQuery, SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import FakeSource
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.pushes import RATE, T0, at_s, body, resample

pytestmark = pytest.mark.integration
LONGEST_S = 20.0
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    "AND datname = current_database()"
)


class Halted:
    """A method that stops before it begins until somebody else waits for a lock, or has ended."""

    def __init__(self, engine: Engine) -> None:
        self.reached = Event()
        self.other: Future[Any] | None = None
        self._engine = engine

    def before(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def halted(*args: Any, **values: Any) -> Any:
            if not self.reached.is_set():
                self.reached.set()
                self._wait()
            return method(*args, **values)

        return halted

    def _wait(self) -> None:
        end_s = time.monotonic() + LONGEST_S
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while time.monotonic() < end_s:
                if self.other is not None and self.other.done():
                    return
                if self.other is not None and connection.execute(WAITING).scalar_one():
                    return
        pytest.fail("nobody came to wait")


def together(halted: Halted, one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
    """Results of `one`, which halts, and of `other`, which begins then."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one)
        assert halted.reached.wait(LONGEST_S)
        halted.other = pool.submit(other)
        return first.result(LONGEST_S), halted.other.result(LONGEST_S)


def lock_in_two(deps: IngestDeps, ids: Sequence[int], halted: Halted) -> None:
    """Lock the first cursor, then the others, as one statement does that is stopped between."""
    with deps.engine.begin() as connection:
        note_samples(connection, CursorMoves.none(ids[:1]), T0)
        halted.before(note_samples)(connection, CursorMoves.none(ids[1:]), T0)


@pytest.fixture
def halted(database: Engine) -> Halted:
    return Halted(database)


def test_a_push_with_a_refused_sample_and_the_resampling_of_its_shard(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    halted: Halted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(3)
    clock.advance(61)
    push(deps, body(*[(f"w{number}", RATE, [[at_s(5), 1.0]]) for number in range(3)]))
    resample(deps)
    clock.advance(60)
    monkeypatch.setattr(Tally, "store", halted.before(Tally.store))
    values = enumerate([-1.0, 1.0, 1.0])
    sent = body(*[(f"w{number}", RATE, [[at_s(65), value]]) for number, value in values])
    pushed, done = together(halted, lambda: push(deps, sent), lambda: resample(deps))
    assert pushed.n_accepted == 2
    assert done.n_rows == 2


class PartlyWrong(FakeSource):
    """The query of the first workload is wrong."""

    def fetch(self, query: RangeQuery) -> Points:
        if query.expression == "sum(wrong)":
            raise SourceError(BAD_QUERY, "no")
        return super().fetch(query)


def test_a_pull_with_a_wrong_query_and_the_resampling_of_its_shard(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    halted: Halted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deps.source = PartlyWrong()
    deps.settings = deps.settings.model_copy(update={"fit_max_steps": 20})
    register(1, (IndicatorSpec(name="wrong_rps", level=1, query="sum(wrong)"),), prefix="a")
    register(2, (IndicatorSpec(name="load_rps", level=1, query="sum(load)"),), prefix="b")
    clock.advance(60)
    pull_shard(deps, 0, clock.now())
    resample(deps)
    clock.advance(60)
    monkeypatch.setattr(Tally, "store", halted.before(Tally.store))
    pulled, _ = together(halted, lambda: pull_shard(deps, 0, clock.now()), lambda: resample(deps))
    assert pulled.n_errors == {BAD_QUERY: 1}, "of the newest steps; its history was answered so"


def test_a_new_workload_in_a_shard_and_a_write_to_the_others(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    halted: Halted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cursor of a new one is made in the order of the ids, not before the others are held."""
    ids = register(3)
    with deps.engine.begin() as connection:
        note_samples(connection, CursorMoves.none(ids[:1]), T0)

    clock.advance(60)
    _, done = together(halted, lambda: lock_in_two(deps, ids, halted), lambda: resample(deps))
    assert isinstance(done, service.ResampleResult)


def test_a_history_and_the_resampling_of_the_same_steps(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    halted: Halted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (id_,) = register(1)
    clock.advance(60)
    push(deps, body(("w0", RATE, [[at_s(5), 1.0]])))
    resample(deps)
    clock.advance(30 * 60)
    monkeypatch.setattr(repository, "close_history", halted.before(repository.close_history))
    values = np.full((20, 1), 7.0)
    history = WorkloadHistory((RATE,), values, np.ones(values.shape, dtype=bool))
    frame = HistoryFrame(T0 + timedelta(seconds=60), 60, (history,))
    filled, _ = together(
        halted, lambda: backfill(deps.engine, [id_], frame), lambda: resample(deps)
    )
    assert filled.n_rows == 20


def test_counts_that_were_asked_for_are_noted_in_the_order_of_the_ids(
    deps: IngestDeps, clock: FixedClock, register: Register, halted: Halted
) -> None:
    ids = register(3)
    resample(deps)
    with deps.engine.begin() as connection:
        # so that the rows lie in another order than their ids
        for id_ in reversed(ids):
            statement = text("UPDATE ingest_cursors SET updated_at = now() WHERE workload_id = :id")
            connection.execute(statement, {"id": id_})

    def note_asked() -> None:
        with deps.engine.begin() as connection:
            shard_repository.store_counts_asked(connection, dict.fromkeys(ids, "counts"), T0)

    together(halted, lambda: lock_in_two(deps, ids, halted), note_asked)
    with deps.engine.connect() as connection:
        statement = text("SELECT DISTINCT counts_asked FROM ingest_cursors")
        assert connection.execute(statement).scalars().all() == ["counts"]

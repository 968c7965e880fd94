"""An empty answer as zero, where the user says so: `gap: Zero`, against the database."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.pull.service import pull_shard
from services.ingest.series import repository
from services.ingest.series.copy_encoding import SeriesKey, encode_observations, key_columns
from services.ingest.series.repository import SeriesRange
from services.ingest.series.samples import SECOND_US, TimeSpan, make_samples, to_us
from services.ingest.series.source import SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import SCRAPES, T0, FakeSource
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
QUERY = "sum(rate(requests_total[$step]))"
ZERO = IndicatorSpec(name="load_rps", level=1, query=QUERY, gap="Zero")
UNKNOWN = IndicatorSpec(name="other_rps", level=1, query=QUERY)
NEVER = IndicatorSpec(name="misspelt_rps", level=1, query="sum(rate(x[$step]))", gap="Zero")


class Silent(FakeSource):
    """A route that is asked for in some minutes only; its series ends in between."""

    def __init__(self, busy: set[int]) -> None:
        super().__init__({QUERY.replace("$step", "60s"): lambda at_s: 4.0})
        self.busy = busy

    def fetch(self, query):  # type: ignore[no-untyped-def]  # as the protocol
        found = super().fetch(query)
        minutes = (found.at_us // 1_000_000 - int(T0.timestamp())) // 60 - 1
        keep = [minute in self.busy for minute in minutes.tolist()]
        return type(found)(found.at_us[keep], found.value[keep])


def step(deps: IngestDeps, clock: FixedClock, to_minute: int) -> None:
    to = T0 + to_minute * STEP + timedelta(seconds=deps.settings.grace_s)
    clock.advance((to - clock.now()).total_seconds())
    pull_shard(deps, 0, clock.now())
    service.resample_shard(deps, 0, clock.now())


def values(deps: IngestDeps, workload_id: int, indicator: IndicatorSpec) -> dict[int, float | None]:
    def number(at: datetime) -> int:
        return (at - T0) // STEP

    return {number(at): v for at, v in stored_steps(deps.engine, workload_id, indicator.name)}


def test_an_empty_answer_is_zero_after_the_first_value_and_a_failed_one_never(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    assert min(SCRAPES) < T0.timestamp(), "the world is there from the first minute on"
    source = Silent(busy={2, 5})
    deps.source = source
    (workload_id,) = register(1, (ZERO, UNKNOWN, NEVER))
    for minute in range(1, 8):
        source.error = SourceError("bad_status", "status 500") if minute == 7 else None
        step(deps, clock, minute)
    found = values(deps, workload_id, ZERO)
    assert [found[m] for m in range(7)] == [None, None, 4.0, 0.0, 0.0, 4.0, None]
    assert [values(deps, workload_id, UNKNOWN)[m] for m in range(7)] == [
        None, None, 4.0, None, None, 4.0, None,
    ]  # fmt: skip
    assert set(values(deps, workload_id, NEVER).values()) == {None}
    source.error = None  # when it answers again, what it has nothing of is zero after all
    step(deps, clock, 8)
    assert values(deps, workload_id, ZERO)[6] == 0.0


def test_a_zero_never_takes_the_place_of_a_value_but_gives_way_to_one(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    source = Silent(busy={0, 1})
    deps.source = source
    (workload_id,) = register(1, (ZERO,))
    for minute in (1, 2, 3):
        step(deps, clock, minute)
    assert [values(deps, workload_id, ZERO)[m] for m in range(3)] == [4.0, 4.0, 0.0]
    source.busy = {2}  # a Prometheus that lost its data, and had the last minute late
    step(deps, clock, 4)
    assert [values(deps, workload_id, ZERO)[m] for m in range(4)] == [4.0, 4.0, 4.0, 0.0]


def test_whether_a_series_was_seen_is_told_without_its_whole_history(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    names = ("sampled_rps", "filled_rps", "long_ago_rps", "never_rps")
    indicators = tuple(IndicatorSpec(name=name, level=1) for name in names)
    (workload_id,) = register(1, indicators)
    now_us = to_us(T0)
    hour_us = 3600 * SECOND_US
    day = [None] * 1440
    frames = {
        "filled_rps": (T0 - timedelta(hours=1), [4.0]),
        "long_ago_rps": (T0 - timedelta(hours=1, minutes=1), [4.0]),
        "never_rps": (T0 - timedelta(days=1), day),
    }
    for name, (start_at, given) in frames.items():
        column = np.array([np.nan if value is None else value for value in given])[:, None]
        history = WorkloadHistory((name,), column, np.isfinite(column))
        backfill(deps.engine, [workload_id], HistoryFrame(start_at, 60, (history,)))
    with deps.engine.begin() as connection:
        keys = key_columns([SeriesKey(workload_id, "sampled_rps")])
        sample = make_samples([0], [now_us - 47 * hour_us], [1.0])
        span = TimeSpan(now_us - 47 * hour_us, now_us - 47 * hour_us)
        repository.write_observations(connection, encode_observations(keys, sample), span)
        ranges = [SeriesRange(workload_id, name, now_us, now_us + hour_us) for name in names]
        assert repository.seen_before(connection, ranges) == {0, 1}
        before = [
            SeriesRange(one.workload_id, one.indicator, now_us - 48 * hour_us, now_us)
            for one in ranges
        ]
        assert repository.seen_before(connection, before) == frozenset()
